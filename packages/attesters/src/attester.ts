import type { Tee } from "@nacre/kbs-protocol";

import { AttesterError } from "./error.ts";

/** Makes evidence of a machine or of a device in it. */
export interface DeviceAttester {
  readonly tee: Tee;
  /**
   * JSON of evidence that holds `reportData`, filled up or cut to what the platform has room for. Rejects with
   * AttesterError.
   */
  evidence(reportData: Uint8Array, signal?: AbortSignal): Promise<string>;
}

/** That of the machine itself. */
export interface Attester extends DeviceAttester {
  /**
   * Compares the digest of initdata with what the platform measured at launch, or measures it now. `unsupported` where
   * the platform has no place for it. Rejects with AttesterError `mismatch`, `input` or `device`.
   */
  bindInitdata(digest: Uint8Array): Promise<"bound" | "unsupported">;
  /** Registers that a running guest may extend; undefined where there are none. */
  readonly measurement: RuntimeMeasurement | undefined;
}

/** Registers that only ever grow: each takes the hash of its value and a digest. */
export interface RuntimeMeasurement {
  readonly hash: "sha256" | "sha384";
  /** The register that stands for a PCR of a PC, by its number in event logs; undefined where it cannot be extended. */
  register(pcr: number): number | undefined;
  read(register: number): Promise<Buffer>;
  extend(register: number, digest: Uint8Array): Promise<void>;
}

/** No more than `size` bytes, filled up with zeros. Throws AttesterError `input`. */
export function padded(what: string, data: Uint8Array, size: number): Buffer {
  if (data.length > size) {
    throw new AttesterError("input", `${what}: expected report data of at most ${size} bytes, got ${data.length}`);
  }
  return fitted(data, size);
}

/** Cut, or filled up with zeros. */
export function fitted(data: Uint8Array, size: number): Buffer {
  const out = Buffer.alloc(size);
  out.set(data.subarray(0, size));
  return out;
}
