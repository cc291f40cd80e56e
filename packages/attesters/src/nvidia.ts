import type { NvidiaArchitecture, NvidiaEvidence } from "@nacre/kbs-protocol";

import { type DeviceAttester, fitted } from "./attester.ts";
import { AttesterError } from "./error.ts";

const NONCE = 32;

/** What the driver says of one GPU. */
export interface GpuReport {
  readonly architecture: number;
  readonly uuid: string;
  /** SPDM request and response. */
  readonly report: Buffer;
  /** PEM. */
  readonly certificates: Buffer;
}

/** The port to NVIDIA's management library. */
export interface Gpus {
  /** How many GPUs are in confidential mode. Zero where there is no library, no driver or no such mode. */
  confidential(): number;
  /** Throws where the driver refuses. */
  report(index: number, nonce: Buffer): GpuReport;
}

/** nvmlDeviceArchitecture_t. */
const ARCHITECTURES: Readonly<Record<number, NvidiaArchitecture>> = { 9: "HOPPER", 10: "BLACKWELL" };

/** GPUs in confidential mode. The nonce is what report data begins with. */
export function nvidiaAttester(gpus: Gpus): DeviceAttester {
  return {
    tee: "nvidia",
    evidence(reportData) {
      const nonce = fitted(reportData, NONCE);
      const evidence: NvidiaEvidence = {
        device_evidence_list: Array.from({ length: gpus.confidential() }, (_, index) => {
          const gpu = gpus.report(index, nonce);
          const arch = ARCHITECTURES[gpu.architecture];
          if (arch === undefined) {
            throw new AttesterError(
              "unsupported",
              `GPU ${index}: expected Hopper or Blackwell, got ${gpu.architecture}`,
            );
          }
          return {
            arch,
            uuid: gpu.uuid,
            evidence: gpu.report.toString("base64"),
            certificate: gpu.certificates.toString("base64"),
          };
        }),
      };
      return Promise.resolve(JSON.stringify(evidence));
    },
  };
}
