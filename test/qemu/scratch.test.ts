import { readdirSync, readlinkSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { AttackedGuest } from "../fixtures/attacked-guest.ts";
import { ownStateRoot } from "../fixtures/state-root.ts";
import { guestTraces, NOTHING } from "../fixtures/guest-traces.ts";

const SCRATCH_BYTES = 64 * 1024 * 1024;

const stateRoot = ownStateRoot();

const namesOnTheMachine = (): string[] => readdirSync("/var/tmp").filter((name) => name.startsWith("nacre-scratch-"));

describe("a scratch disk", () => {
  it("is found by its serial number, empty, takes bytes, and is gone with the guest", async () => {
    const names = namesOnTheMachine();
    const guest = await AttackedGuest.start({ stateRoot: stateRoot(), scratchBytes: SCRATCH_BYTES });
    const found = await guest.look(() => {
      const fs = process.getBuiltinModule("node:fs");
      const text = (path: string): string => (fs.existsSync(path) ? fs.readFileSync(path, "latin1").trim() : "");
      return fs
        .readdirSync("/sys/block")
        .filter((name) => text(`/sys/block/${name}/serial`) === "scratch")
        .map((name) => ({ name, bytes: Number(text(`/sys/block/${name}/size`)) * 512 }));
    }, null);
    expect(found.map(({ bytes }) => bytes)).toEqual([SCRATCH_BYTES]);

    const ends = await guest.look(
      (_inside, { name, bytes }) => {
        const fs = process.getBuiltinModule("node:fs");
        const block = 4096;
        const fd = fs.openSync(`/dev/${name}`, "r+");
        const at = (position: number): string => {
          const read = Buffer.alloc(block);
          fs.readSync(fd, read, 0, block, position);
          return read.every((byte) => byte === 0) ? "empty" : read.toString("latin1", 0, 4);
        };
        const before = [at(0), at(bytes - block)];
        for (const position of [0, bytes - block]) fs.writeSync(fd, Buffer.alloc(block, "full"), 0, block, position);
        fs.fsyncSync(fd);
        const after = [at(0), at(bytes - block)];
        fs.closeSync(fd);
        return { before, after };
      },
      { name: found[0]?.name ?? "", bytes: SCRATCH_BYTES },
    );
    expect(ends).toEqual({ before: ["empty", "empty"], after: ["full", "full"] });

    // On the machine it is a file that has no name.
    const { id, initPid } = guest.guest.guest;
    const open = readdirSync(`/proc/${initPid}/fd`).map((fd) => readlinkSync(`/proc/${initPid}/fd/${fd}`));
    expect(open.some((path) => path.startsWith("/var/tmp/nacre-scratch-") && path.endsWith(" (deleted)"))).toBe(true);
    expect(namesOnTheMachine()).toEqual(names);
    await guest[Symbol.asyncDispose]();
    expect(guestTraces(stateRoot(), id)).toEqual(NOTHING);
  });
});
