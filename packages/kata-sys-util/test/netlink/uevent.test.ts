import { describe, expect, it } from "vitest";

import { linuxSyscalls } from "../../src/index.ts";
import { UeventSocket } from "../../src/netlink/uevent.ts";

describe("waiting for a device", () => {
  it("ends when it is given up while the socket is being read", async () => {
    const given = new AbortController();
    const sys = {
      ...linuxSyscalls(),
      netlinkReceive: async () => {
        given.abort(new Error("given up"));
        return undefined;
      },
    };
    using events = UeventSocket.open(sys);
    await expect(events.find(() => true, given.signal)).rejects.toThrow("given up");
  });
});
