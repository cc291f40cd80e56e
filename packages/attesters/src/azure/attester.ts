import type { AzSnpVtpmEvidence, AzTdxVtpmEvidence, TpmQuote } from "@nacre/kbs-protocol";

import { type Attester, fitted } from "../attester.ts";
import type { Devices } from "../devices.ts";
import { AttesterError } from "../error.ts";
import { bindToPcr, pcrMeasurement } from "../tpm/measured.ts";
import { Tpm } from "../tpm/tpm.ts";
import { AZURE_AK, HCL_REPORT_INDEX, parseHclReport, USER_DATA_BYTES, USER_DATA_INDEX } from "./hcl.ts";
import { azureTdQuote, azureVcek, type Metadata } from "./metadata.ts";

/** Of Azure's machines (their chassis' asset tag). */
const ASSET_TAG = "7783-7084-3265-9085-8269-3286-77";
const ASSET_TAG_FILE = "/sys/class/dmi/id/chassis_asset_tag";
const DEVICE = "/dev/tpm0";
const VERSION = 2;

/** Which kind of confidential machine of Azure's this is, if any. */
export async function detectAzure(devices: Devices): Promise<"az-snp-vtpm" | "az-tdx-vtpm" | undefined> {
  const tag = (await devices.read(ASSET_TAG_FILE))?.toString("latin1").trim();
  if (tag !== ASSET_TAG || !devices.exists(DEVICE)) return undefined;
  try {
    const { type } = parseHclReport(await new Tpm(devices, DEVICE).readNv(HCL_REPORT_INDEX));
    return type === "snp" ? "az-snp-vtpm" : "az-tdx-vtpm";
  } catch {
    // A machine without confidentiality has no such report.
    return undefined;
  }
}

/** A quote of the vTPM, and the report by which the hardware vouches for the vTPM's key. */
export function azureAttester(devices: Devices, tee: "az-snp-vtpm" | "az-tdx-vtpm", metadata: Metadata): Attester {
  const tpm = new Tpm(devices, DEVICE);
  return {
    tee,
    async evidence(reportData) {
      if (reportData.length > USER_DATA_BYTES) {
        throw new AttesterError("input", `Azure: expected report data of at most ${USER_DATA_BYTES} bytes`);
      }
      await tpm.writeNv(USER_DATA_INDEX, fitted(reportData, USER_DATA_BYTES));
      const report = await tpm.readNv(HCL_REPORT_INDEX);
      const { signature, message, pcrs } = await tpm.quote(AZURE_AK, reportData);
      const quote: TpmQuote = {
        // The bare signature here, without the TPM's frame of algorithm, hash and length.
        signature: signature.subarray(6).toString("hex"),
        message: message.toString("hex"),
        pcrs: pcrs.map((value) => value.toString("hex")),
      };
      const common = { version: VERSION, tpm_quote: quote, hcl_report: urlSafe(report) };
      if (tee === "az-snp-vtpm") {
        const evidence: AzSnpVtpmEvidence = { ...common, vcek: urlSafe(await azureVcek(metadata)) };
        return JSON.stringify(evidence);
      }
      const { hardware } = parseHclReport(report);
      const evidence: AzTdxVtpmEvidence = { ...common, td_quote: urlSafe(await azureTdQuote(metadata, hardware)) };
      return JSON.stringify(evidence);
    },
    bindInitdata: (digest) => bindToPcr(tpm, digest),
    measurement: pcrMeasurement(tpm),
  };
}

/** With padding, as upstream's brokers read it. */
function urlSafe(bytes: Buffer): string {
  return bytes.toString("base64").replaceAll("+", "-").replaceAll("/", "_");
}
