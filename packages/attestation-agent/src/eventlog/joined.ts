import { readFile } from "node:fs/promises";

import { cutAtEnd, END, HEADER } from "./tcg2.ts";

/** What the firmware logged (ACPI's CCEL). */
export const CCEL = "/sys/firmware/acpi/tables/data/CCEL";

/** The firmware's log with the agent's behind it, as evidence carries it; undefined where there is neither. */
export async function joinedLog(agentLog: string, firmwareLog: string = CCEL): Promise<Buffer | undefined> {
  const ccel = await readIfThere(firmwareLog);
  const aael = await readIfThere(agentLog);
  if (ccel !== undefined) return Buffer.concat([cutAtEnd(ccel), aael ?? Buffer.alloc(0), END]);
  return aael === undefined ? undefined : Buffer.concat([HEADER, aael, END]);
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw cause;
  }
}
