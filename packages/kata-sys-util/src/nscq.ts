import type koffiModule from "koffi";
import type { TypeObject } from "koffi";

import { loadKoffi } from "./native.ts";

/** NVIDIA's library about NVSwitches, as its driver installs it. */
const LIBRARY = "libnvidia-nscq.so.2";
/** NSCQ_SESSION_CREATE_MOUNT_DEVICES. */
const MOUNT_DEVICES = 1;
const UUID = 16;
const LABEL = 64;
const NONCE = 32;
const MAX_REPORT = 0x2000;
const MAX_CHAIN = 0x1400;
/** nscq_tnvl_status_t: trusted NVLink is on, or on and locked. */
const TRUSTED: readonly number[] = [1, 3];
/** As many as one machine has, and more. */
const MAX_SWITCHES = 64;
/** A switch's name within the paths that are asked. */
const NAME = /^[0-9A-Za-z-]{1,63}$/u;

/** What the driver says of one NVSwitch. */
export interface NscqReport {
  /** nscq_arch_t; all switches of a machine are of one kind. */
  readonly architecture: number;
  readonly report: Buffer;
  readonly certificates: Buffer;
}

/** NVSwitches by NVIDIA's library. It is loaded when it is first asked; where it is absent there are none. */
export function nscqSwitches(path: string = LIBRARY): {
  trusted(): readonly string[];
  report(uuid: string, nonce: Buffer): NscqReport;
} {
  let nscq: Nscq | undefined;
  const opened = (): Nscq => (nscq ??= new Nscq(path));
  return {
    trusted: () => {
      try {
        return opened().trusted();
      } catch {
        return [];
      }
    },
    report: (uuid, nonce) => opened().report(uuid, nonce),
  };
}

type Koffi = typeof koffiModule;
type Call = (...args: readonly unknown[]) => number;
type Blob = Readonly<Record<"bytes" | "size", unknown>>;
/** What is called back with: a switch's name, a number, or bytes in one of two structures. */
type Kind = "chain" | "number" | "report" | "uuid";

/** A session; it is this process's to its end. */
class Nscq {
  readonly #koffi: Koffi;
  readonly #label: Call;
  readonly #input: Call;
  readonly #observe: Call;
  readonly #session: unknown;
  readonly #callbacks: Readonly<Record<Kind, TypeObject>>;

  constructor(path: string) {
    const koffi = loadKoffi();
    this.#koffi = koffi;
    const library = koffi.load(path);
    const bytes = (length: number): TypeObject => koffi.array("uint8_t", length, "Typed");
    const callback = (value: string | TypeObject): TypeObject =>
      koffi.pointer(koffi.proto("void", ["void *", "int8_t", value, "void *"]));
    this.#callbacks = {
      uuid: callback("void *"),
      number: callback("int8_t"),
      report: callback(koffi.struct({ size: "uint32_t", bytes: bytes(MAX_REPORT) })),
      chain: callback(koffi.struct({ bytes: bytes(MAX_CHAIN), size: "uint32_t" })),
    };
    const call = (name: string, parameters: string[]): Call => library.func(name, "int8_t", parameters);
    this.#label = call("nscq_uuid_to_label", ["void *", "void *", "uint32_t"]);
    this.#input = call("nscq_session_set_input", ["void *", "uint32_t", "void *", "uint32_t"]);
    this.#observe = call("nscq_session_path_observe", ["void *", "const char *", "void *", "void *", "uint32_t"]);
    const result = koffi.struct({ rc: "int8_t", session: "void *" });
    const create = library.func("nscq_session_create", result, ["uint32_t"]) as unknown as (
      flags: number,
    ) => Readonly<Record<"rc" | "session", unknown>>;
    const { rc, session } = create(MOUNT_DEVICES);
    // Above zero it is a warning.
    if (Number(rc) < 0) throw new Error(`NSCQ: nscq_session_create: expected 0, got ${Number(rc)}`);
    this.#session = session;
  }

  /** Those whose links are trusted, which alone report. */
  trusted(): readonly string[] {
    const names: string[] = [];
    this.#ask("/drv/nvswitch/{device}/uuid", "uuid", (uuid) => names.push(this.#name(uuid)));
    return names
      .slice(0, MAX_SWITCHES)
      .filter((name) => TRUSTED.includes(Number(this.#one(`/${name}/config/pcie_mode`, "number"))));
  }

  report(uuid: string, nonce: Buffer): NscqReport {
    if (nonce.length !== NONCE) throw new RangeError(`NSCQ: expected a nonce of ${NONCE} bytes, got ${nonce.length}`);
    if (!NAME.test(uuid)) throw new RangeError("NSCQ: expected the name of a switch");
    const status = this.#input(this.#session, 0, nonce, nonce.length);
    if (status < 0) throw new Error(`NSCQ: nscq_session_set_input: expected 0, got ${status}`);
    const report = bytesOf(this.#one(`/${uuid}/config/attestation_report`, "report"), "report", MAX_REPORT);
    const certificates = bytesOf(this.#one(`/${uuid}/config/certificate`, "chain"), "chain", MAX_CHAIN);
    let architecture = -1;
    this.#ask("/{nvswitch}/id/arch", "number", (value) => (architecture = value as number));
    return { architecture, report, certificates };
  }

  #name(uuid: unknown): string {
    const label = Buffer.alloc(LABEL);
    const status = this.#label(Buffer.from(this.#koffi.decode(uuid, "uint8_t", UUID) as Uint8Array), label, 0);
    const name = label.toString("latin1", 0, Math.max(0, label.indexOf(0)));
    if (status < 0 || !NAME.test(name)) throw new Error(`NSCQ: nscq_uuid_to_label: expected a name, got ${status}`);
    return name;
  }

  #one(path: string, kind: Exclude<Kind, "uuid">): unknown {
    const values: unknown[] = [];
    this.#ask(path, kind, (value) => values.push(value));
    if (values.length !== 1) throw new Error(`NSCQ: ${path}: expected one value, got ${values.length}`);
    return values[0];
  }

  /** The library calls back before it returns. */
  #ask(path: string, kind: Kind, found: (value: unknown) => void): void {
    let failed: unknown;
    const callback = this.#koffi.register((_device: unknown, rc: number, value: unknown) => {
      try {
        if (rc < 0) throw new Error(`NSCQ: ${path}: expected 0, got ${rc}`);
        found(value);
      } catch (error) {
        // Nothing may be thrown through the library.
        failed ??= error;
      }
    }, this.#callbacks[kind]);
    try {
      const status = this.#observe(this.#session, path, callback, null, 0);
      if (status < 0) throw new Error(`NSCQ: ${path}: expected 0, got ${status}`);
    } finally {
      this.#koffi.unregister(callback);
    }
    if (failed !== undefined) throw failed instanceof Error ? failed : new Error(`NSCQ: ${path}`);
  }
}

function bytesOf(blob: unknown, what: string, max: number): Buffer {
  const { bytes, size } = blob as Blob;
  const length = Number(size);
  if (!(length > 0 && length <= max))
    throw new RangeError(`NSCQ: expected a ${what} of 1 to ${max} bytes, got ${length}`);
  return Buffer.from((bytes as Uint8Array).subarray(0, length));
}
