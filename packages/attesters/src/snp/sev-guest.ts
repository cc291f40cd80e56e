import type { Devices } from "../devices.ts";
import { AttesterError } from "../error.ts";
import type { TsmReport } from "../tsm-report.ts";
import { SNP_REPORT } from "./report.ts";

export const SEV_GUEST = "/dev/sev-guest";

/** _IOWR('S', 2, 32 bytes): a report and the host's certificates; with 0, the report alone. */
const GET_EXT_REPORT = 0xc0205302;
const GET_REPORT = 0xc0205300;
/** linux/sev-guest.h: message version, request, response, and what the firmware and the host said. */
const COMMAND = 32;
const MESSAGE_VERSION = 1;
const REQUEST_AT = 8;
const RESPONSE_AT = 16;
const HOST_ERROR_AT = 28;
/** 64 bytes of report data, VMPL, 28 reserved. */
const REQUEST = 96;
/** Behind it, where the certificates go and how much room there is. */
const EXT_REQUEST = 112;
const CERTIFICATES_AT = 96;
const CERTIFICATES_LENGTH_AT = 104;
const RESPONSE = 4000;
/** Status, size, 24 reserved, then the report. */
const REPORT_AT = 32;
/** SNP_GUEST_VMM_ERR_INVALID_LEN: the certificates need more room than was given. */
const INVALID_LENGTH = 1;
const PAGE = 4096;
const MAX_CERTIFICATES = 4 * 16 * PAGE;

/** A report by the device of kernels without configfs-tsm, at VMPL 0. */
export async function sevGuestReport(devices: Devices, reportData: Buffer): Promise<TsmReport> {
  const first = await extendedReport(devices, reportData, 4 * PAGE);
  if (typeof first !== "number") return first;
  if (first <= MAX_CERTIFICATES) {
    const second = await extendedReport(devices, reportData, first);
    if (typeof second !== "number") return second;
  }
  // A host without end of certificates: those can be had elsewhere.
  const response = Buffer.alloc(RESPONSE);
  await ask(devices, GET_REPORT, request(reportData, REQUEST), response);
  return { outblob: reportOf(response), auxblob: Buffer.alloc(0) };
}

/** The report, or how much room the certificates need. */
async function extendedReport(devices: Devices, reportData: Buffer, room: number): Promise<TsmReport | number> {
  const certificates = Buffer.alloc(room);
  const asked = request(reportData, EXT_REQUEST);
  asked.writeUInt32LE(room, CERTIFICATES_LENGTH_AT);
  const response = Buffer.alloc(RESPONSE);
  const needed = await ask(devices, GET_EXT_REPORT, asked, response, certificates);
  if (needed !== undefined) return needed;
  return { outblob: reportOf(response), auxblob: certificates };
}

async function ask(
  devices: Devices,
  code: number,
  asked: Buffer,
  response: Buffer,
  certificates?: Buffer,
): Promise<number | undefined> {
  const command = Buffer.alloc(COMMAND);
  command.writeUInt8(MESSAGE_VERSION, 0);
  try {
    await devices.ioctl(SEV_GUEST, code, command, [
      {
        offset: REQUEST_AT,
        block: asked,
        ...(certificates === undefined ? {} : { inner: [{ offset: CERTIFICATES_AT, block: certificates }] }),
      },
      { offset: RESPONSE_AT, block: response },
    ]);
    return undefined;
  } catch (error) {
    if (certificates === undefined || command.readUInt32LE(HOST_ERROR_AT) !== INVALID_LENGTH) throw error;
    return asked.readUInt32LE(CERTIFICATES_LENGTH_AT);
  }
}

function request(reportData: Buffer, size: number): Buffer {
  const block = Buffer.alloc(size);
  reportData.copy(block);
  return block;
}

function reportOf(response: Buffer): Buffer {
  const status = response.readUInt32LE(0);
  if (status !== 0) throw new AttesterError("device", `${SEV_GUEST}: expected a report, got status ${status}`);
  const size = response.readUInt32LE(4);
  if (size < SNP_REPORT || size > RESPONSE - REPORT_AT) {
    throw new AttesterError("malformed", `${SEV_GUEST}: expected a report of ${SNP_REPORT} bytes, got ${size}`);
  }
  return response.subarray(REPORT_AT, REPORT_AT + size);
}
