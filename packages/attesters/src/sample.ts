import type { SampleEvidence } from "@nacre/kbs-protocol";

import type { Attester, DeviceAttester } from "./attester.ts";

/** Evidence of nothing, for development. Report data is neither filled up nor cut. */
export function sampleAttester(): Attester {
  return {
    tee: "sample",
    evidence: (reportData) => Promise.resolve(evidence("1", reportData)),
    bindInitdata: () => Promise.resolve("unsupported"),
    measurement: undefined,
  };
}

/** The same as a device. */
export function sampleDeviceAttester(): DeviceAttester {
  return { tee: "sampledevice", evidence: (reportData) => Promise.resolve(evidence("2", reportData)) };
}

function evidence(svn: string, reportData: Uint8Array): string {
  // Upstream's order of members.
  const sample: SampleEvidence = { report_data: Buffer.from(reportData).toString("base64"), svn };
  return JSON.stringify(sample);
}
