/**
 * The guest's end of a bridge over a virtio-serial port, in a thread of its own and in the devkit flavour only: joins
 * the host to the unix sockets that the guest's daemons listen on in place of vsock.
 */
import { constants, openSync, readdirSync, watch, writeSync } from "node:fs";
import { join } from "node:path";

import { BridgeGuest, HELLO } from "./bridge.ts";
import { BRIDGE_FOLDER } from "./bridge-port.ts";
import { dialSocket } from "./dial.ts";
import { socketFromFd } from "./vsock-socket.ts";

const DEVICES = "/dev";
/** The machine's one port; which number the device has is the kernel's matter. */
const PORT = /^vport\d+p1$/u;
/** As hybrid vsock gives a port. */
const DIAL_MS = 10_000;

async function portPath(): Promise<string> {
  const find = (): string | undefined => readdirSync(DEVICES).find((name) => PORT.test(name));
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const look = (): void => {
    const name = find();
    if (name !== undefined) resolve(join(DEVICES, name));
  };
  // The driver makes it when the host's end has told of it.
  const watcher = watch(DEVICES, look);
  watcher.on("error", reject);
  look();
  try {
    return await promise;
  } finally {
    watcher.close();
  }
}

const fd = openSync(await portPath(), constants.O_RDWR);
// Waits, in this thread, until the host is there; before that a read would say that the stream is over.
writeSync(fd, HELLO);
const bridge = new BridgeGuest(socketFromFd(fd), (port) =>
  dialSocket({ scheme: "unix", path: join(BRIDGE_FOLDER, `${port}.sock`) }, { timeoutMs: DIAL_MS }),
);
await bridge.closed;
