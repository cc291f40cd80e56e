import { createHash } from "node:crypto";

import type { RuntimeMeasurement } from "../attester.ts";
import { AttesterError } from "../error.ts";
import { PCR_BYTES } from "./structures.ts";
import type { Tpm } from "./tpm.ts";

/** The register that holds initdata's digest. */
export const INITDATA_PCR = 8;
/** Registers of a dynamic launch: what runs after it is at locality 0 and may not extend them. */
const DYNAMIC: readonly number[] = [17, 18, 19, 20, 21, 22];

/**
 * Puts initdata's digest into its register, once: an agent that starts again finds it there. A register that holds
 * anything else was extended by somebody else, and no broker would take it. Throws AttesterError.
 */
export async function bindToPcr(tpm: Tpm, digest: Uint8Array): Promise<"bound"> {
  if (digest.length !== PCR_BYTES) {
    const text = `initdata: expected a digest of ${PCR_BYTES} bytes (sha256) on a platform with a TPM, got ${digest.length}`;
    throw new AttesterError("input", text);
  }
  const empty = Buffer.alloc(PCR_BYTES);
  const wanted = createHash("sha256").update(empty).update(digest).digest();
  const found = await tpm.readPcr(INITDATA_PCR);
  if (found.equals(wanted)) return "bound";
  if (!found.equals(empty)) {
    throw new AttesterError("mismatch", `initdata: expected PCR ${INITDATA_PCR} unused, got ${found.toString("hex")}`);
  }
  await tpm.extendPcr(INITDATA_PCR, digest);
  return "bound";
}

/** A TPM's registers; an event log numbers them as the TPM does. */
export function pcrMeasurement(tpm: Tpm): RuntimeMeasurement {
  return {
    hash: "sha256",
    register: (pcr) => (DYNAMIC.includes(pcr) || pcr === INITDATA_PCR || pcr > 23 ? undefined : pcr),
    read: (register) => tpm.readPcr(register),
    extend: (register, digest) => tpm.extendPcr(register, digest),
  };
}
