import { AttesterError } from "../error.ts";

/** What Azure's paravisor keeps of the hardware's report, in the vTPM's memory. */
export const HCL_REPORT_INDEX = 0x01400001;
/** Where what the next report is to hold is put. */
export const USER_DATA_INDEX = 0x01400002;
export const USER_DATA_BYTES = 64;
/** The vTPM's attestation key. */
export const AZURE_AK = 0x81000003;

const SIGNATURE = "HCLA";
const HARDWARE_REPORT_AT = 32;
const HARDWARE_REPORT = 1184;
/** Length, version, type of report, hash, length of what follows. */
const REQUEST_AT = HARDWARE_REPORT_AT + HARDWARE_REPORT;
const TYPE_AT = REQUEST_AT + 8;
const TYPES: Readonly<Record<number, "snp" | "tdx">> = { 2: "snp", 4: "tdx" };
const TD_REPORT = 1024;

export interface HclReport {
  readonly type: "snp" | "tdx";
  /** As the hardware wrote it. */
  readonly hardware: Buffer;
}

/** Throws AttesterError `malformed`. */
export function parseHclReport(report: Buffer): HclReport {
  if (report.length < REQUEST_AT + 20 || report.toString("latin1", 0, 4) !== SIGNATURE) {
    throw new AttesterError("malformed", "Azure: expected an HCL report");
  }
  const type = TYPES[report.readUInt32LE(TYPE_AT)];
  if (type === undefined) throw new AttesterError("unsupported", "Azure: expected a report of SNP or TDX");
  const size = type === "tdx" ? TD_REPORT : HARDWARE_REPORT;
  return { type, hardware: report.subarray(HARDWARE_REPORT_AT, HARDWARE_REPORT_AT + size) };
}
