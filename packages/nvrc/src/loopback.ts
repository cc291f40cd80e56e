import { closeSync } from "node:fs";

import type { DescriptorCalls, SocketCalls } from "@nacre/kata-sys-util";

import { NvrcError } from "./error.ts";

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const IFF_UP = 0x1;
/** struct ifreq: a name of 16 bytes, then a union of 24, of which the flags are the first two bytes. */
const IFREQ_SIZE = 40;
const FLAGS_OFFSET = 16;

/** Brings up `lo`; daemons talk to each other over it (section 1.1, step 3). */
export function loopbackUp(sys: DescriptorCalls & SocketCalls): void {
  const request = Buffer.alloc(IFREQ_SIZE);
  request.write("lo", "latin1");
  try {
    const fd = sys.socket(AF_INET, SOCK_DGRAM);
    try {
      sys.ioctl(fd, SIOCGIFFLAGS, request);
      request.writeUInt16LE(request.readUInt16LE(FLAGS_OFFSET) | IFF_UP, FLAGS_OFFSET);
      sys.ioctl(fd, SIOCSIFFLAGS, request);
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    throw new NvrcError("network", "loopback", { cause });
  }
}
