import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { hasCode } from "@nacre/kata-sys-util";

import { NvrcError } from "../error.ts";
import type { RunHelper } from "../helper.ts";
import type { PlannedExtension } from "./plan.ts";

const VERITYSETUP = "/usr/sbin/veritysetup";

/** Opens the verity device of an extension and answers with its node. */
export type OpenExtension = (extension: PlannedExtension) => Promise<string>;

/** What veritysetup is started with; a corrupt block ends the guest, as it does in the base image. */
export function verityArgv({ name, data, hash, params }: PlannedExtension): readonly string[] {
  return [
    VERITYSETUP,
    "open",
    "--no-superblock",
    "--panic-on-corruption",
    "--hash",
    "sha256",
    "--data-block-size",
    String(params.dataBlockSize),
    "--hash-block-size",
    String(params.hashBlockSize),
    "--data-blocks",
    String(params.dataBlocks),
    "--salt",
    params.salt,
    `/dev/${data}`,
    deviceName(name),
    `/dev/${hash}`,
    params.rootHash,
  ];
}

/** Through the device mapper of the guest's own kernel. */
export function openByVeritysetup(run: RunHelper, sysfs: string): OpenExtension {
  return async (extension) => {
    await run(verityArgv(extension));
    return `/dev/${mappedDevice(deviceName(extension.name), sysfs)}`;
  };
}

function deviceName(name: string): string {
  return `extension-${name}`;
}

/** The kernel's own name of a mapped device: the link below /dev/mapper is made by udev, which is not here. */
export function mappedDevice(name: string, sysfs: string): string {
  const folder = join(sysfs, "block");
  for (const device of readdirSync(folder)) {
    try {
      if (readFileSync(join(folder, device, "dm/name"), "latin1").trim() === name) return device;
    } catch (error) {
      if (!hasCode(error, "ENOENT")) throw error;
    }
  }
  throw new NvrcError("extension", `${name}: expected a mapped device of this name, got none`);
}
