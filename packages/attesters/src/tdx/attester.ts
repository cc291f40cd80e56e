import type { TdxEvidence } from "@nacre/kbs-protocol";

import { type Attester, fitted, padded, type RuntimeMeasurement } from "../attester.ts";
import type { Devices } from "../devices.ts";
import { AttesterError } from "../error.ts";
import type { EventLogReader } from "../event-log.ts";
import { tsmProvider, tsmReport } from "../tsm-report.ts";
import { mrConfigId, readTdReport, rtmr, TDX_DEVICE } from "./td-report.ts";

/** Registers as files (Linux 6.16). */
export const TDX_MEASUREMENTS = "/sys/devices/virtual/misc/tdx_guest/measurements";
const REPORT_DATA = 64;
const REGISTER = 48;

export async function detectTdx(devices: Devices): Promise<boolean> {
  return devices.exists(TDX_DEVICE) || (await tsmProvider(devices)) === "tdx_guest";
}

/** Intel TDX: a quote by configfs-tsm with the event log beside it. */
export function tdxAttester(devices: Devices, eventLog: EventLogReader): Attester {
  return {
    tee: "tdx",
    async evidence(reportData) {
      const { outblob } = await tsmReport(devices, "tdx_guest", padded("TDX", reportData, REPORT_DATA));
      const log = await eventLog();
      const evidence: TdxEvidence = {
        cc_eventlog: log === undefined ? null : log.toString("base64"),
        quote: outblob.toString("base64"),
      };
      return JSON.stringify(evidence);
    },
    async bindInitdata(digest) {
      const wanted = fitted(digest, REGISTER);
      const found = await configId(devices);
      if (wanted.equals(found)) return "bound";
      const texts = `${wanted.toString("hex")}, got ${found.toString("hex")}`;
      throw new AttesterError("mismatch", `initdata: expected MRCONFIGID ${texts}`);
    },
    measurement: devices.exists(TDX_MEASUREMENTS) ? measurement(devices) : undefined,
  };
}

async function configId(devices: Devices): Promise<Buffer> {
  const file = await devices.read(`${TDX_MEASUREMENTS}/mrconfigid`);
  return file === undefined ? mrConfigId(await readTdReport(devices)) : checked(file, "MRCONFIGID");
}

function measurement(devices: Devices): RuntimeMeasurement {
  // An event log numbers registers from MRTD on; the first RTMR is 1 there.
  const path = (register: number): string => `${TDX_MEASUREMENTS}/rtmr${register - 1}:sha384`;
  return {
    hash: "sha384",
    register: tdxRegister,
    async read(register) {
      const file = await devices.read(path(register));
      return file === undefined
        ? Buffer.from(rtmr(await readTdReport(devices), register - 1))
        : checked(file, `RTMR${register - 1}`);
    },
    async extend(register, digest) {
      await devices.write(path(register), fitted(digest, REGISTER));
    },
  };
}

/** UEFI 2.11, section 38.4.1; what it does not name counts as runtime. */
export function tdxRegister(pcr: number): number {
  if (pcr === 1 || pcr === 7) return 1;
  if (pcr >= 2 && pcr <= 6) return 2;
  if (pcr >= 8 && pcr <= 15) return 3;
  return 4;
}

function checked(value: Buffer, what: string): Buffer {
  if (value.length === REGISTER) return value;
  throw new AttesterError("malformed", `${what}: expected ${REGISTER} bytes, got ${value.length}`);
}
