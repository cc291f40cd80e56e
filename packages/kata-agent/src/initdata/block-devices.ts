import { constants } from "node:fs";
import { open, readdir } from "node:fs/promises";

import type { Flavour } from "../flavour.ts";

/** A device that is open for reading. */
export interface BlockDevice {
  /** Exactly `length` bytes; rejects where the device ends before. */
  read(length: number, position: number): Promise<Buffer>;
  close(): Promise<void>;
}

/** The disks of the guest. */
export interface BlockDevices {
  /** Paths of whole disks. */
  list(): Promise<readonly string[]>;
  /** Undefined for what has the name of a disk and is none. */
  open(path: string): Promise<BlockDevice | undefined>;
}

/** Disks of virtio-blk and of SCSI, without their partitions. */
const DISK = /^(?:vd|sd)[a-z]+$/u;

/**
 * The disks in /dev. In the devkit flavour a file may stand in a disk's place: a simulated guest has no devices of its
 * own.
 */
export function systemBlockDevices(flavour: Flavour, folder = "/dev"): BlockDevices {
  return {
    list: async () => (await readdir(folder)).filter((name) => DISK.test(name)).map((name) => `${folder}/${name}`),
    open: async (path) => {
      const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      const kind = await file.stat();
      if (!kind.isBlockDevice() && !(flavour === "devkit" && kind.isFile())) {
        await file.close();
        return undefined;
      }
      return {
        read: async (length, position) => {
          const buffer = Buffer.alloc(length);
          for (let got = 0; got < length;) {
            const { bytesRead } = await file.read(buffer, got, length - got, position + got);
            if (bytesRead === 0) throw new Error(`expected ${length} bytes at ${position}, got ${got}`);
            got += bytesRead;
          }
          return buffer;
        },
        close: () => file.close(),
      };
    },
  };
}
