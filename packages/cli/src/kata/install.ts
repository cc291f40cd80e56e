import { existsSync, readFileSync, readdirSync } from "node:fs";
import { basename, join, resolve } from "node:path";

import { describeError, NacreError } from "../error.ts";
import { runTool } from "../guest/tool.ts";
import {
  CONTAINERD,
  CONTAINERD_CONFIG,
  CONTAINERD_DROP_INS,
  containerdSetup,
  type ContainerdSetup,
  type ContainerdVersion,
  dropInText,
  handlerTables,
  parseContainerdVersion,
} from "./containerd.ts";
import { type Handler, machineFiles, SHIMS } from "./handler.ts";
import { type FileAction, InstalledFiles, type PlannedFile } from "./installed-files.ts";
import { parseRootHash } from "./root-hash.ts";
import { overheadOf, runtimeClassText } from "./runtime-class.ts";
import { type MachineConfig, type RuntimeConfig, runtimeConfigText } from "./runtime-config.ts";

const CONFIG_FOLDER = "/etc/kata-containers/nacre";
const DEFAULT_CREATE_TIMEOUT = 600;
/** MiB that a guest has beside what its containers ask for: its daemons, and the unpacked images. */
const DEFAULT_MEMORY = 512;

/** What is asked of an installation. Paths are those of the machine that the root becomes. */
export interface KataInstallOptions {
  readonly handlers: readonly Handler[];
  /** Everything is looked for and written below it. Default: /. */
  readonly root: string;
  /** Folder of a built image; for handlers with a machine. */
  readonly image?: string | undefined;
  readonly kernel?: string | undefined;
  readonly hypervisor?: string | undefined;
  readonly firmware?: string | undefined;
  readonly shim?: string | undefined;
  readonly socket?: string | undefined;
  readonly kernelParams?: readonly string[];
  readonly memory?: number | undefined;
  readonly vcpus?: number | undefined;
  readonly createContainerTimeout?: number | undefined;
  /** As `containerd --version` tells it; default: asked of the program. */
  readonly containerdVersion?: string | undefined;
  readonly replace: boolean;
  readonly dryRun: boolean;
}

/** What was done, and what is left to do by hand. */
export interface KataInstallation {
  readonly files: readonly FileAction[];
  /** For `kubectl apply`. */
  readonly runtimeClasses: string;
  /** Tables to be put into containerd's own configuration, where a drop-in would not do. */
  readonly containerdTables?: string;
  readonly next: readonly string[];
}

/** Points Kata at our guests. Throws NacreError before anything is written. */
export async function installKata(options: KataInstallOptions): Promise<KataInstallation> {
  const { handlers, root } = options;
  const containerd = await readContainerd(options);
  const shim = locate(root, options.shim, SHIMS, "the Kata shim", "--shim");
  const configs = handlers.map((handler) => runtimeConfig(handler, options));
  const files: PlannedFile[] = [];
  const tables: string[] = [];
  for (const config of configs) {
    const path = `${CONFIG_FOLDER}/configuration-${config.handler}.toml`;
    files.push({ path, content: runtimeConfigText(config) });
    const table = handlerTables(config.handler, containerd, path, shim);
    tables.push(table);
    if (containerd.major >= 2) {
      files.push({
        path: `${CONTAINERD_DROP_INS}/nacre-${config.handler}.toml`,
        content: dropInText(table, containerd),
      });
    }
  }
  const done = new InstalledFiles(root).install(files, options);
  return {
    files: done,
    runtimeClasses: configs
      .map(({ handler, machine }) => runtimeClassText(handler, overheadOf(handler, machine?.memory ?? 0)))
      .join("---\n"),
    ...(containerd.major >= 2 ? {} : { containerdTables: tables.join("\n") }),
    next: nextSteps(containerd, handlers),
  };
}

/** Takes an installation back. */
export function uninstallKata(options: { root: string; force: boolean; dryRun: boolean }): readonly FileAction[] {
  return new InstalledFiles(options.root).uninstall(options);
}

function runtimeConfig(handler: Handler, options: KataInstallOptions): RuntimeConfig {
  const { socket, createContainerTimeout = DEFAULT_CREATE_TIMEOUT } = options;
  const machine = machineConfig(handler, options);
  return {
    handler,
    createContainerTimeout,
    ...(socket === undefined ? {} : { socket }),
    ...(machine === undefined ? {} : { machine }),
  };
}

function machineConfig(handler: Handler, options: KataInstallOptions): MachineConfig | undefined {
  const { root, memory = DEFAULT_MEMORY, vcpus = 1, kernelParams = [] } = options;
  const files = machineFiles(handler);
  if (files === undefined) return undefined;
  if (options.image === undefined) {
    throw new NacreError("usage", `handler ${handler}: expected --image FOLDER, which make rootfs builds`);
  }
  const folder = resolve(options.image);
  const image = readImageNames(join(root, folder, "image.json"));
  const firmware =
    files.firmware === undefined && options.firmware === undefined
      ? undefined
      : locate(root, options.firmware, files.firmware ?? [], `the firmware of ${handler}`, "--firmware");
  return {
    hypervisor: locate(root, options.hypervisor, files.hypervisor, "QEMU", "--qemu"),
    kernel: locate(root, options.kernel ?? ownKernel(folder, image), [], "the guest's kernel", "--kernel"),
    image: locate(root, join(folder, image.disk), [], "the image's disk", "--image"),
    firmware,
    verity: readRootHash(root, folder),
    kernelParams,
    memory,
    vcpus,
  };
}

/**
 * The kernel that the image was built for. Kata's runtime takes no initramfs beside an image, so that the kernel must
 * open the root by itself.
 */
function ownKernel(folder: string, image: ImageNames): string {
  if (!image.needsInitramfs) return join(folder, image.kernel);
  throw new NacreError(
    "environment",
    `${folder}: expected an image whose kernel opens the root by itself (CONFIG_DM_INIT), got one that needs an initramfs; bake one with such a kernel (make rootfs BAKER=), or give --kernel`,
  );
}

/** Names of the files beside image.json. */
interface ImageNames {
  readonly kernel: string;
  readonly disk: string;
  readonly needsInitramfs: boolean;
}

function readImageNames(path: string): ImageNames {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
  } catch (cause) {
    throw new NacreError("input", `${path}: expected what make rootfs writes`, { cause });
  }
  const name = (key: string): string => {
    const value = fields[key];
    if (typeof value === "string" && value !== "" && basename(value) === value) return value;
    throw new NacreError("input", `${path}: ${key}: expected the name of a file, got ${JSON.stringify(value)}`);
  };
  return { kernel: name("kernel"), disk: name("disk"), needsInitramfs: fields["initramfs"] !== undefined };
}

/** An image's folder has one root hash file, named after its flavour. */
function readRootHash(root: string, folder: string): string {
  const names = readdirSync(join(root, folder)).filter((name) => /^root_hash_.+\.txt$/u.test(name));
  const [name] = names;
  if (name === undefined || names.length > 1) {
    throw new NacreError("input", `${folder}: expected one root_hash_<flavour>.txt, got ${names.length}`);
  }
  const path = join(folder, name);
  return parseRootHash(readFileSync(join(root, path), "utf8"), path);
}

/** A path as the machine will see it: the one that was asked for, or the first candidate that is there. */
function locate(
  root: string,
  asked: string | undefined,
  candidates: readonly string[],
  what: string,
  flag: string,
): string {
  const places = asked === undefined ? candidates : [resolve(asked)];
  const found = places.find((path) => existsSync(join(root, path)));
  if (found !== undefined) return found;
  const where = root === "/" ? "" : ` below ${root}`;
  throw new NacreError("environment", `${what}: expected a file ${places.join(" or ")}${where}; see ${flag}`);
}

async function readContainerd({ root, containerdVersion }: KataInstallOptions): Promise<ContainerdSetup> {
  const file = join(root, CONTAINERD_CONFIG);
  const config = existsSync(file) ? readFileSync(file, "utf8") : undefined;
  return containerdSetup(config, await versionOf(root, containerdVersion));
}

/** Asked of the program where that is this machine's own. */
async function versionOf(root: string, asked: string | undefined): Promise<ContainerdVersion> {
  if (asked !== undefined) return parseContainerdVersion(asked);
  const program = root === "/" ? CONTAINERD.find((path) => existsSync(path)) : undefined;
  if (program === undefined) {
    throw new NacreError("environment", "containerd: expected its version; give --containerd-version, such as 2.1");
  }
  try {
    return parseContainerdVersion(await runTool([program, "--version"]));
  } catch (error) {
    throw new NacreError("environment", `${program} --version: ${describeError(error)}; give --containerd-version`);
  }
}

function nextSteps(containerd: ContainerdSetup, handlers: readonly Handler[]): readonly string[] {
  const steps: string[] = [];
  if (containerd.major < 2) {
    steps.push(
      `put the tables below into ${CONTAINERD_CONFIG}: containerd 1 would replace its whole CRI section by a file that it imports`,
    );
  } else if (!containerd.imports) {
    steps.push(`add to ${CONTAINERD_CONFIG}: imports = ["${CONTAINERD_DROP_INS}/*.toml"]`);
  }
  steps.push("restart containerd");
  if (handlers.includes("remote")) steps.push("nacre hypervisor serve");
  steps.push("kubectl apply the RuntimeClass below");
  return steps;
}
