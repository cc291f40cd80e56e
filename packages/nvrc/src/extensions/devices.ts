import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { hasCode } from "@nacre/kata-sys-util";

import { NvrcError } from "../error.ts";
import { checkExtensionName } from "./name.ts";

/** A disk that carries an extension: its partitions by number, as the kernel names them (`vdb1`). */
export interface ExtensionDevice {
  readonly name: string;
  readonly disk: string;
  readonly partitions: ReadonlyMap<number, string>;
}

const SERIAL = /^extension-(.*)$/su;

/** The disks whose serial number is `extension-<name>`, below `sysfs`. */
export function extensionDevices(sysfs: string): readonly ExtensionDevice[] {
  const folder = join(sysfs, "block");
  return names(folder).flatMap((disk): ExtensionDevice[] => {
    const name = SERIAL.exec(attribute(join(folder, disk, "serial")) ?? "")?.[1];
    if (name === undefined) return [];
    return [{ name: checkExtensionName(name), disk, partitions: partitionsOf(join(folder, disk)) }];
  });
}

function partitionsOf(folder: string): ReadonlyMap<number, string> {
  return new Map(
    names(folder).flatMap((name) => {
      const number = attribute(join(folder, name, "partition"));
      return number === undefined ? [] : [[Number(number), name] as const];
    }),
  );
}

function names(folder: string): readonly string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    if (hasCode(error, "ENOENT")) return [];
    throw new NvrcError("extension", `read ${folder}`, { cause: error });
  }
}

/** A value of sysfs; undefined where the device has none. */
function attribute(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1").trim();
  } catch (error) {
    if (hasCode(error, "ENOENT") || hasCode(error, "ENOTDIR")) return undefined;
    throw new NvrcError("extension", `read ${path}`, { cause: error });
  }
}
