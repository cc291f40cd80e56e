import { describe, expect, it } from "vitest";

import { agentOfGuest, dialAgent } from "../../src/attest/guest-agent.ts";
import { guestLayout } from "../../src/guest/layout.ts";

describe("a guest's attestation agent", () => {
  it("is reached through the guest's vsock, by a port of its own", () => {
    const layout = guestLayout("/run/nacre", "0123abcd");
    expect(agentOfGuest({ layout })).toBe("hvsock:///run/nacre/guests/0123abcd/hybrid.sock:1027");
  });

  it.each([
    ["unix:///nonexistent/aa.sock", "the attestation agent at unix:///nonexistent/aa.sock cannot be reached"],
    [
      "hvsock:///nonexistent/hybrid.sock:1027",
      "the attestation agent at hvsock:///nonexistent/hybrid.sock:1027 cannot be reached; of the flavours, the devkit's alone listens for its machine",
    ],
  ])("that does not listen is told by its address: %s", async (address, message) => {
    const dialled = dialAgent(address, 1000, new AbortController().signal);
    await expect(dialled).rejects.toMatchObject({ code: "agent", message });
  });
});
