import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { NvrcError } from "../error.ts";

/** Of a port's capability mask: its subnet manager is switched off. */
const SM_DISABLED = 1 << 10;

/** The GUID of the first port that may run a subnet manager, in the order of device names (section 1.4). */
export function findPortGuid(sysfs: string): string {
  const folder = join(sysfs, "class/infiniband");
  let devices: readonly string[];
  try {
    devices = readdirSync(folder).sort();
  } catch (cause) {
    throw new NvrcError("gpu", `read ${folder}: expected devices of mlx5_ib`, { cause });
  }
  for (const device of devices) {
    const port = join(folder, device, "ports/1");
    if (!mayManageSubnet(attribute(join(port, "cap_mask")))) continue;
    const guid = portGuid(attribute(join(port, "gids/0")));
    if (guid !== undefined) return guid;
  }
  throw new NvrcError(
    "gpu",
    `${folder}: expected a port with a subnet manager, got ${devices.join(", ") || "no device"}`,
  );
}

/** By the capability mask, hexadecimal as the kernel writes it. What cannot be read may not. */
export function mayManageSubnet(mask: string | undefined): boolean {
  const digits = /^(?:0x)?([0-9a-f]{1,8})$/iu.exec(mask ?? "")?.[1];
  return digits !== undefined && (Number.parseInt(digits, 16) & SM_DISABLED) === 0;
}

/** The last four groups of a GID are the port's GUID; undefined for another form. */
export function portGuid(gid: string | undefined): string | undefined {
  const groups = /^(?:[0-9a-f]{4}:){4}([0-9a-f]{4}):([0-9a-f]{4}):([0-9a-f]{4}):([0-9a-f]{4})$/iu.exec(gid ?? "");
  return groups === null ? undefined : `0x${groups.slice(1).join("")}`;
}

function attribute(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1").trim();
  } catch {
    // A device without this port is passed over.
    return undefined;
  }
}
