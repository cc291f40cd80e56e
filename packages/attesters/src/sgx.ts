import type { SgxEvidence } from "@nacre/kbs-protocol";

import { type Attester, padded } from "./attester.ts";
import type { Devices } from "./devices.ts";
import { AttesterError } from "./error.ts";

/** Gramine's files. */
const FOLDER = "/dev/attestation";
const REPORT_DATA = 64;

export async function detectSgx(devices: Devices): Promise<boolean> {
  return (await devices.read(`${FOLDER}/attestation_type`))?.toString("latin1") === "dcap";
}

/** An enclave of Intel SGX under Gramine. */
export function sgxAttester(devices: Devices): Attester {
  return {
    tee: "sgx",
    async evidence(reportData) {
      await devices.write(`${FOLDER}/user_report_data`, padded("SGX", reportData, REPORT_DATA));
      const quote = await devices.read(`${FOLDER}/quote`);
      if (quote === undefined) throw new AttesterError("device", `SGX: expected ${FOLDER}/quote`);
      const evidence: SgxEvidence = { quote: quote.toString("base64") };
      return JSON.stringify(evidence);
    },
    bindInitdata: () => Promise.resolve("unsupported"),
    measurement: undefined,
  };
}
