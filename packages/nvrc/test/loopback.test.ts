import { openSync } from "node:fs";

import { recordingSyscalls } from "@nacre/kata-sys-util";
import { describe, expect, it } from "vitest";

import { loopbackUp } from "../src/loopback.ts";

describe("loopbackUp", () => {
  it("adds IFF_UP to the flags that the interface has", () => {
    // Something to close.
    const sys = recordingSyscalls({
      socket: () => openSync("/dev/null", "r"),
      ioctl: (_fd, request, argument) => {
        if (request === 0x8913 && argument instanceof Uint8Array) argument.set([0x08, 0x10], 16);
        return 0;
      },
    });
    loopbackUp(sys);
    const last = sys.calls.at(-1);
    expect(last?.args[1]).toBe(0x8914);
    const request = last?.args[2] as Buffer;
    expect(request.subarray(0, 4).toString("latin1")).toBe("lo\0\0");
    expect(request.readUInt16LE(16)).toBe(0x1009);
  });

  it("says what failed", () => {
    const sys = recordingSyscalls({
      socket: () => {
        throw new Error("socket: EMFILE");
      },
    });
    expect(() => loopbackUp(sys)).toThrow("loopback");
  });
});
