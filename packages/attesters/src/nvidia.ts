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

/** What the driver says of one switch. */
export type SwitchReport = Omit<GpuReport, "uuid">;

/** The port to NVIDIA's library about NVSwitches. */
export interface Switches {
  /** Names of those with trusted links. None where there is no library, no driver or no such mode. */
  trusted(): readonly string[];
  /** Throws where the driver refuses. */
  report(uuid: string, nonce: Buffer): SwitchReport;
}

/** nvmlDeviceArchitecture_t. */
const GPUS: Readonly<Record<number, NvidiaArchitecture>> = { 9: "HOPPER", 10: "BLACKWELL" };
/** nscq_arch_t. */
const SWITCHES: Readonly<Record<number, NvidiaArchitecture>> = { 2: "LS10" };

type DeviceEvidence = NvidiaEvidence["device_evidence_list"][number];

/** GPUs in confidential mode and switches with trusted links. The nonce is what report data begins with. */
export function nvidiaAttester(gpus: Gpus, switches: Switches): DeviceAttester {
  return {
    tee: "nvidia",
    evidence(reportData) {
      const nonce = fitted(reportData, NONCE);
      const evidence: NvidiaEvidence = {
        device_evidence_list: [
          ...Array.from({ length: gpus.confidential() }, (_, index) => gpuEvidence(index, gpus.report(index, nonce))),
          ...switches.trusted().map((uuid) => switchEvidence(uuid, switches.report(uuid, nonce))),
        ],
      };
      return Promise.resolve(JSON.stringify(evidence));
    },
  };
}

function gpuEvidence(index: number, { architecture, uuid, ...parts }: GpuReport): DeviceEvidence {
  const arch = GPUS[architecture];
  if (arch !== undefined) return { arch, uuid, ...encoded(parts) };
  throw new AttesterError("unsupported", `GPU ${index}: expected Hopper or Blackwell, got ${architecture}`);
}

function switchEvidence(uuid: string, { architecture, ...parts }: SwitchReport): DeviceEvidence {
  const arch = SWITCHES[architecture];
  if (arch !== undefined) return { arch, uuid, ...encoded(parts) };
  throw new AttesterError("unsupported", `switch ${uuid}: expected LS10, got ${architecture}`);
}

function encoded({
  report,
  certificates,
}: Pick<GpuReport, "certificates" | "report">): Pick<DeviceEvidence, "certificate" | "evidence"> {
  return { evidence: report.toString("base64"), certificate: certificates.toString("base64") };
}
