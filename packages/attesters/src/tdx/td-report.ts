import type { Devices } from "../devices.ts";
import { AttesterError } from "../error.ts";

export const TDX_DEVICE = "/dev/tdx_guest";

/** TDX_CMD_GET_REPORT0: _IOWR('T', 1, 64 bytes of report data and 1024 of report). */
const GET_REPORT0 = 0xc4405401;
const REPORT_DATA = 64;
export const TD_REPORT = 1024;
const REGISTER = 48;
/** TDINFO, behind the MAC structure (256) and TEE_TCB_INFO (239 and 17 reserved); attributes and XFAM have 8 each. */
const TDINFO = 512;
const MRCONFIGID = TDINFO + 8 + 8 + REGISTER;
/** Behind MRCONFIGID, MROWNER and MROWNERCONFIG. */
const RTMR0 = MRCONFIGID + 3 * REGISTER;

/** A report of the TDX module, not signed by a quoting enclave. */
export async function readTdReport(devices: Devices): Promise<Buffer> {
  const block = Buffer.alloc(REPORT_DATA + TD_REPORT);
  await devices.ioctl(TDX_DEVICE, GET_REPORT0, block);
  return block.subarray(REPORT_DATA);
}

/** The digest of initdata that the host gave at launch. */
export function mrConfigId(report: Buffer): Buffer {
  return register(report, MRCONFIGID);
}

export function rtmr(report: Buffer, index: number): Buffer {
  return register(report, RTMR0 + index * REGISTER);
}

function register(report: Buffer, offset: number): Buffer {
  if (report.length !== TD_REPORT) {
    throw new AttesterError("malformed", `TD report: expected ${TD_REPORT} bytes, got ${report.length}`);
  }
  return report.subarray(offset, offset + REGISTER);
}
