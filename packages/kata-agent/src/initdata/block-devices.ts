import { closeSync, constants, fstatSync, openSync, readdirSync, readSync } from "node:fs";

import type { Flavour } from "../flavour.ts";

/** A device that is open for reading. */
export interface BlockDevice {
  /** Exactly `length` bytes; throws where the device ends before. */
  read(length: number, position: number): Buffer;
  close(): void;
}

/**
 * The disks of the guest. Without promises: nothing else is done while a guest starts, and Node's file handles cost half
 * a megabyte.
 */
export interface BlockDevices {
  /** Paths of whole disks. */
  list(): readonly string[];
  /** Undefined for what has the name of a disk and is none. */
  open(path: string): BlockDevice | undefined;
}

/** Disks of virtio-blk and of SCSI, without their partitions. */
const DISK = /^(?:vd|sd)[a-z]+$/u;

/**
 * The disks in /dev. In the devkit flavour a file may stand in a disk's place: a simulated guest has no devices of its
 * own.
 */
export function systemBlockDevices(flavour: Flavour, folder = "/dev"): BlockDevices {
  return {
    list: () =>
      readdirSync(folder)
        .filter((name) => DISK.test(name))
        .map((name) => `${folder}/${name}`),
    open: (path) => openDisk(path, flavour),
  };
}

function openDisk(path: string, flavour: Flavour): BlockDevice | undefined {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  const kind = fstatSync(fd);
  if (!kind.isBlockDevice() && !(flavour === "devkit" && kind.isFile())) {
    closeSync(fd);
    return undefined;
  }
  return {
    read: (length, position) => readAll(fd, length, position),
    close: () => closeSync(fd),
  };
}

function readAll(fd: number, length: number, position: number): Buffer {
  const buffer = Buffer.alloc(length);
  for (let got = 0; got < length;) {
    const count = readSync(fd, buffer, got, length - got, position + got);
    if (count === 0) throw new Error(`expected ${length} bytes at ${position}, got ${got}`);
    got += count;
  }
  return buffer;
}
