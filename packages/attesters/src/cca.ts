import type { CcaEvidence } from "@nacre/kbs-protocol";

import { type Attester, padded } from "./attester.ts";
import type { Devices } from "./devices.ts";
import { tsmProvider, tsmReport } from "./tsm-report.ts";

const CHALLENGE = 64;

export async function detectCca(devices: Devices): Promise<boolean> {
  return (await tsmProvider(devices)) === "arm_cca_guest";
}

/** Arm CCA: a token of realm and platform. Its personalisation value cannot be read but in such a token. */
export function ccaAttester(devices: Devices): Attester {
  return {
    tee: "cca",
    async evidence(reportData) {
      const { outblob } = await tsmReport(devices, "arm_cca_guest", padded("CCA", reportData, CHALLENGE));
      const evidence: CcaEvidence = { token: [...outblob] };
      return JSON.stringify(evidence);
    },
    bindInitdata: () => Promise.resolve("unsupported"),
    measurement: undefined,
  };
}
