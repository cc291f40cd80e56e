import { randomBytes } from "node:crypto";

import type { Devices } from "./devices.ts";
import { AttesterError } from "./error.ts";

/** Where the kernel makes reports of a confidential guest (configfs-tsm, Linux 6.7). */
export const TSM_REPORT = "/sys/kernel/config/tsm/report";

/** What drives it, as its attribute `provider` names it. */
export type TsmProvider = "arm_cca_guest" | "sev_guest" | "tdx_guest";

export interface TsmReport {
  readonly outblob: Buffer;
  /** A table of certificates, where the provider has one. */
  readonly auxblob: Buffer;
}

/** The provider; undefined where there is none. A report's folder is made and taken away again to ask. */
export async function tsmProvider(devices: Devices): Promise<string | undefined> {
  if (!devices.exists(TSM_REPORT)) return undefined;
  try {
    return await inFolder(devices, (folder) => providerOf(devices, folder));
  } catch {
    // The kernel has the folder and no provider: it cannot be made.
    return undefined;
  }
}

/**
 * A report over `inblob`. Whoever else writes to the same folder in between changes its generation, and then the report
 * is not ours: AttesterError `device`.
 */
export async function tsmReport(
  devices: Devices,
  provider: TsmProvider,
  inblob: Uint8Array,
  attributes: Readonly<Record<string, string>> = {},
): Promise<TsmReport> {
  return await inFolder(devices, async (folder) => {
    const found = await providerOf(devices, folder);
    if (found !== provider) throw new AttesterError("device", `TSM report: expected ${provider}, got ${found}`);
    for (const [name, value] of Object.entries(attributes)) {
      await devices.write(`${folder}/${name}`, Buffer.from(value));
    }
    await devices.write(`${folder}/inblob`, inblob);
    const outblob = await attribute(devices, folder, "outblob");
    const auxblob = (await devices.read(`${folder}/auxblob`)) ?? Buffer.alloc(0);
    const generation = Number((await attribute(devices, folder, "generation")).toString("latin1"));
    const writes = 1 + Object.keys(attributes).length;
    if (generation > writes) {
      throw new AttesterError("device", `TSM report: expected generation ${writes}, got ${generation}`);
    }
    if (outblob.length === 0) throw new AttesterError("malformed", "TSM report: expected a report, got nothing");
    return { outblob, auxblob };
  });
}

async function inFolder<T>(devices: Devices, use: (folder: string) => Promise<T>): Promise<T> {
  const folder = `${TSM_REPORT}/nacre-${randomBytes(8).toString("hex")}`;
  await devices.mkdir(folder);
  try {
    return await use(folder);
  } finally {
    // Its files are the kernel's and go with it.
    await devices.rmdir(folder).catch(() => undefined);
  }
}

async function providerOf(devices: Devices, folder: string): Promise<string> {
  return (await attribute(devices, folder, "provider")).toString("latin1").trimEnd();
}

async function attribute(devices: Devices, folder: string, name: string): Promise<Buffer> {
  const value = await devices.read(`${folder}/${name}`);
  if (value === undefined) throw new AttesterError("malformed", `TSM report: expected the attribute ${name}`);
  return value;
}
