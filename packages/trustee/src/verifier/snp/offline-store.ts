import { readFile } from "node:fs/promises";
import { join } from "node:path";

import { TrusteeError } from "../../error.ts";
import { MAX_CERTIFICATE } from "../certificate.ts";
import type { SnpGeneration } from "./generation.ts";
import type { TcbVersion } from "./report.ts";
import type { VcekSource } from "./snp-verifier.ts";

/** Certificates of chips laid out below a folder: `vcek/<hardware id>/<versions>_vcek.der`, else `vcek.der` there. */
export function offlineStore(folder: string): VcekSource {
  return {
    find: async (generation, chipId, tcb) => {
      const home = join(folder, "vcek", hardwareIdText(generation, chipId));
      return (await read(join(home, `${tcbFileName(tcb)}_vcek.der`))) ?? (await read(join(home, "vcek.der")));
    },
  };
}

/** A chip's identity in names and addresses; Turin's has eight bytes. */
export function hardwareIdText(generation: SnpGeneration, chipId: Buffer): string {
  return chipId.subarray(0, generation === "Turin" ? 8 : 64).toString("hex");
}

/** Versions as the store's file names have them, e.g. `bl02_tee00_snp06_ucode21`. */
export function tcbFileName({ bootloader, tee, snp, microcode, fmc }: TcbVersion): string {
  const two = (n: number): string => String(n).padStart(2, "0");
  const name = `bl${two(bootloader)}_tee${two(tee)}_snp${two(snp)}_ucode${two(microcode)}`;
  return fmc === undefined ? name : `${name}_fmc${two(fmc)}`;
}

async function read(path: string): Promise<Uint8Array | undefined> {
  try {
    const bytes = await readFile(path);
    if (bytes.length > MAX_CERTIFICATE)
      throw new TrusteeError("collateral", `${path}: expected at most ${MAX_CERTIFICATE} bytes`);
    return bytes;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new TrusteeError("collateral", `${path}: cannot be read`, { cause });
  }
}
