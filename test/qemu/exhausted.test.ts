import { readFileSync } from "node:fs";
import { join } from "node:path";

import { startGuest } from "@nacre/cli";
import { describe, expect, it } from "vitest";

import { QEMU } from "../fixtures/guest-kind.ts";
import { ownStateRoot } from "../fixtures/state-root.ts";
import { guestTraces, NOTHING } from "../fixtures/guest-traces.ts";
import { type Look, viewOf } from "../fixtures/guest-view.ts";

const stateRoot = ownStateRoot();

/** Takes memory until the kernel ends this process. */
const takeMemory: Look<null, null> = () => {
  setImmediate(() => {
    const taken: Buffer[] = [];
    for (;;) taken.push(Buffer.alloc(1 << 20, 1));
  });
  return null;
};

/** Fills /run, and fails as whoever writes there then does. */
const fillRun: Look<null, null> = () => {
  setImmediate(() => {
    const fs = process.getBuiltinModule("node:fs");
    const fd = fs.openSync("/run/filler", "w");
    for (;;) fs.writeSync(fd, Buffer.alloc(1 << 20));
  });
  return null;
};

describe("a virtual machine in which something has run out", () => {
  it.for([
    [
      "memory",
      256,
      takeMemory,
      /NVRC panic: kata-agent ended with signal SIGKILL; memory is exhausted, processes ended by the kernel: \d+/u,
    ],
    // Half of it is /run; of less, so little would be left that the guest reads its own programs again and again.
    ["/run", 768, fillRun, /NVRC panic: kata-agent ended with status \d+; \/run is full: .*ENOSPC/u],
  ] as const)("%s: says so in one line and powers off", async ([, mebibytes, look, line]) => {
    const logFile = join(stateRoot(), "log");
    const guest = await startGuest({
      ...QEMU,
      stateRoot: stateRoot(),
      logFile,
      memoryBytes: mebibytes * 1024 * 1024,
      kernelParameters: ["nacre.inspect=kata-agent"],
    });
    using view = await viewOf(guest);
    await view.look(look, null);
    await guest.ended;
    const lines = readFileSync(logFile, "utf8").split("\n");
    expect(lines.filter((text) => text.includes("NVRC panic: "))).toEqual([expect.stringMatching(line)]);
    expect(lines.filter((text) => text.includes("reboot: Power down"))).toHaveLength(1);
    expect(guestTraces(stateRoot(), guest.id)).toEqual(NOTHING);
  });
});
