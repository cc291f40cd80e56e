import { IMAGE_HEADER, parseImageHeader, readInitdataImage } from "@nacre/kbs-protocol";

import { describeError, internalError } from "../error.ts";
import type { Logger } from "../log.ts";
import type { BlockDevice, BlockDevices } from "./block-devices.ts";

/** The document as it lay on its device. */
export interface FoundInitdata {
  readonly device: string;
  readonly toml: Buffer;
}

/**
 * Looks at every disk for initdata (section 5). A disk that cannot be opened or read is passed over; one that has the
 * magic and is malformed is not. Two of them are refused: which one counts would be the host's secret. Throws INTERNAL.
 */
export async function findInitdata(devices: BlockDevices, log: Logger): Promise<FoundInitdata | undefined> {
  const found: FoundInitdata[] = [];
  for (const path of devices.list().toSorted()) {
    const device = openDisk(devices, path, log);
    if (device === undefined) continue;
    try {
      const toml = await readDocument(device, path, log);
      if (toml !== undefined) found.push({ device: path, toml });
    } finally {
      device.close();
    }
  }
  if (found.length > 1) {
    throw internalError(`initdata: expected one device, got ${found.map(({ device }) => device).join(", ")}`);
  }
  return found[0];
}

function openDisk(devices: BlockDevices, path: string, log: Logger): BlockDevice | undefined {
  try {
    return devices.open(path);
  } catch (error) {
    log.warning("a disk cannot be opened and is not looked at", { device: path, error: describeError(error) });
    return undefined;
  }
}

async function readDocument(device: BlockDevice, path: string, log: Logger): Promise<Buffer | undefined> {
  let header: Buffer;
  try {
    header = device.read(IMAGE_HEADER, 0);
  } catch (error) {
    log.warning("a disk cannot be read and is not looked at", { device: path, error: describeError(error) });
    return undefined;
  }
  try {
    const length = parseImageHeader(header);
    if (length === undefined) return undefined;
    return await readInitdataImage(Buffer.concat([header, device.read(length, IMAGE_HEADER)]));
  } catch (error) {
    throw initdataError(path, error);
  }
}

/** One line, whatever caused it: it is the last that such a guest says. */
export function initdataError(device: string, error: unknown): Error {
  return internalError(`initdata on ${device}: ${error instanceof Error ? error.message : String(error)}`);
}
