import type { SnpEvidence } from "@nacre/kbs-protocol";

import { type Attester, fitted, padded } from "../attester.ts";
import type { Devices } from "../devices.ts";
import { AttesterError } from "../error.ts";
import { tsmProvider, type TsmReport, tsmReport } from "../tsm-report.ts";
import { parseCertificates } from "./certificates.ts";
import { formatSnpReport, hostData, parseSnpReport } from "./report.ts";
import { SEV_GUEST, sevGuestReport } from "./sev-guest.ts";

const PLATFORM = "/sys/devices/platform/sev-guest";
const REPORT_DATA = 64;
const HOST_DATA = 32;

export async function detectSnp(devices: Devices): Promise<boolean> {
  return devices.exists(PLATFORM) || (await tsmProvider(devices)) === "sev_guest";
}

/** AMD SEV-SNP, at VMPL 0: by configfs-tsm where the kernel has it, else by /dev/sev-guest. */
export function snpAttester(devices: Devices): Attester {
  return {
    tee: "snp",
    async evidence(reportData) {
      const { outblob, auxblob } = await report(devices, padded("SNP", reportData, REPORT_DATA));
      const chain: SnpEvidence["cert_chain"] = parseCertificates(auxblob);
      return `{"attestation_report":${formatSnpReport(parseSnpReport(outblob))},"cert_chain":${JSON.stringify(chain)}}`;
    },
    async bindInitdata(digest) {
      const wanted = fitted(digest, HOST_DATA);
      const found = hostData((await report(devices, Buffer.alloc(REPORT_DATA))).outblob);
      if (wanted.equals(found)) return "bound";
      const texts = `${wanted.toString("hex")}, got ${found.toString("hex")}`;
      throw new AttesterError("mismatch", `initdata: expected HOSTDATA ${texts}`);
    },
    measurement: undefined,
  };
}

async function report(devices: Devices, reportData: Buffer): Promise<TsmReport> {
  const provider = await tsmProvider(devices);
  if (provider === "sev_guest") return await tsmReport(devices, "sev_guest", reportData, { privlevel: "0" });
  if (devices.exists(SEV_GUEST)) return await sevGuestReport(devices, reportData);
  throw new AttesterError("unsupported", `SNP: expected the provider sev_guest or ${SEV_GUEST}`);
}
