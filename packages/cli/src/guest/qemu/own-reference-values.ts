import { readFileSync, writeFileSync } from "node:fs";

import { readInitdataImage } from "@nacre/kbs-protocol";

import { summaryOf } from "../../initdata/summary.ts";
import type { GuestLayout } from "../layout.ts";

/**
 * Writes what a verifier is to expect of this guest beside its image, as a message of reference values: the key of its TPM
 * (SPKI), and register 8 with the initdata that it was given, of which `initdata` is the image. Whoever takes them
 * takes this machine's word for both.
 */
export async function writeOwnReferenceValues(
  { referenceValues }: GuestLayout,
  attestationKey: Buffer,
  initdata: string | undefined,
): Promise<void> {
  const values = { trusted_aks: [attestationKey.toString("base64")], ...(await registerOf(initdata)) };
  const payload = Buffer.from(JSON.stringify(values)).toString("base64");
  writeFileSync(referenceValues, `${JSON.stringify({ version: "0.1.0", type: "sample", payload })}\n`);
}

/** Nothing for what no guest takes: it says why itself. */
async function registerOf(initdata: string | undefined): Promise<{ readonly tpm_pcr08?: readonly string[] }> {
  if (initdata === undefined) return {};
  try {
    const { pcr8 } = summaryOf(await readInitdataImage(readFileSync(initdata)));
    return pcr8 === undefined ? {} : { tpm_pcr08: [pcr8] };
  } catch {
    return {};
  }
}
