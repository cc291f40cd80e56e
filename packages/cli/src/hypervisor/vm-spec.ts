import { MAX_DOCUMENT, parseInitdata } from "@nacre/kbs-protocol";
import { Code, type hypervisor } from "@nacre/protocols";
import { RpcError } from "@nacre/ttrpc";

import { describeError } from "../error.ts";
import { MAX_CPUS } from "../guest/options.ts";

/** What the Go runtime puts into a request (kata-agent, 9.2); values are texts, and empty where it knows none. */
const SANDBOX_NAME = "io.kubernetes.cri.sandbox-name";
const SANDBOX_NAMESPACE = "io.kubernetes.cri.sandbox-namespace";
const PREFIX = "io.katacontainers.config.hypervisor.";

/** Ids become names of files. Kata's own are 64 hexadecimal digits; people's come with dots and dashes. */
const ID: RegExp = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/u;
/** Names of pods and namespaces (RFC 1123), which the runtime passes on without a look. */
const MAX_NAME = 253;
/** A path of Linux, with its end. */
const MAX_PATH = 4096;
/** Names of images and machine types, which people choose. */
const MAX_CHOICE = 255;
const MIB: number = 1 << 20;
/** The runtime counts memory in 32 bits of MiB. */
const MAX_MEMORY_MIB: number = 2 ** 32 - 1;

/** A virtual machine as the runtime asks for it. */
export interface VmSpec {
  /** The sandbox's id. */
  readonly id: string;
  /** For people; may be empty. */
  readonly pod: string;
  readonly namespace: string;
  /** Which kind of guest; empty: the server's default. */
  readonly machineType: string;
  /** Which image, by the name that the server knows; empty: the default one. */
  readonly image: string;
  /** Absent: the server's default. */
  readonly vcpus: number | undefined;
  /**
   * Absent: the server's default. May be too small for any guest: with static_sandbox_resource_mgmt it is the sum of the
   * containers' limits, with nothing for what runs beside them.
   */
  readonly memoryBytes: number | undefined;
  /** The document's text (TOML); absent: none. */
  readonly initdata: string | undefined;
  /** Path of the pod's network namespace; empty when the runtime has none. */
  readonly networkNamespace: string;
}

/** Reads a request. Throws RpcError INVALID_ARGUMENT that names field, what was expected and what came. */
export function parseVmSpec(request: hypervisor.CreateVMRequest): VmSpec {
  const text = (key: string, limit: number): string => {
    const value = request.annotations[key] ?? "";
    if (Buffer.byteLength(value) > limit) {
      throw invalid(`${key}: expected at most ${limit} bytes, got ${Buffer.byteLength(value)}`);
    }
    return value;
  };
  const gpus = text(`${PREFIX}default_gpus`, MAX_CHOICE);
  if (gpus !== "" && gpus !== "0") {
    throw invalid(`${PREFIX}default_gpus: expected 0, as these guests have none, got ${JSON.stringify(gpus)}`);
  }
  const mebibytes = amount(text(`${PREFIX}default_memory`, MAX_CHOICE), `${PREFIX}default_memory`, MAX_MEMORY_MIB);
  const initdata = text(`${PREFIX}cc_init_data`, MAX_DOCUMENT);
  return {
    id: parseVmId(request.id),
    pod: text(SANDBOX_NAME, MAX_NAME),
    namespace: text(SANDBOX_NAMESPACE, MAX_NAME),
    machineType: text(`${PREFIX}machine_type`, MAX_CHOICE),
    image: text(`${PREFIX}image`, MAX_CHOICE),
    vcpus: amount(text(`${PREFIX}default_vcpus`, MAX_CHOICE), `${PREFIX}default_vcpus`, MAX_CPUS),
    memoryBytes: mebibytes === undefined ? undefined : mebibytes * MIB,
    initdata: initdata === "" ? undefined : checkedInitdata(initdata),
    networkNamespace: networkNamespacePath(request.networkNamespacePath),
  };
}

/** The id of a request, fit to be a file's name. Throws RpcError INVALID_ARGUMENT. */
export function parseVmId(id: string): string {
  if (!ID.test(id)) {
    throw invalid(
      `id: expected 1 to 128 letters, digits, dots, dashes or underscores, the first a letter or digit, got ${shown(id)}`,
    );
  }
  return id;
}

/** A whole number; empty and 0 stand for what the runtime does not know. */
function amount(text: string, key: string, most: number): number | undefined {
  if (text === "") return undefined;
  const value = /^\d{1,10}$/u.test(text) ? Number(text) : Number.NaN;
  if (!(value <= most)) throw invalid(`${key}: expected a whole number up to ${most}, got ${shown(text)}`);
  return value === 0 ? undefined : value;
}

/** A document that the agent would refuse is refused before there is one. */
function checkedInitdata(document: string): string {
  try {
    parseInitdata(Buffer.from(document));
  } catch (error) {
    throw invalid(`${PREFIX}cc_init_data: ${describeError(error)}`);
  }
  return document;
}

function networkNamespacePath(path: string): string {
  if (path === "") return path;
  if (path.startsWith("/") && !path.includes("\0") && Buffer.byteLength(path) < MAX_PATH) return path;
  throw invalid(`networkNamespacePath: expected an absolute path, got ${shown(path)}`);
}

/** A caller's text for a message: short, on one line, without control characters. */
function shown(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
}

function invalid(message: string): RpcError {
  return new RpcError(Code.INVALID_ARGUMENT, message);
}
