import { describe, expect, it } from "vitest";

import { agentOfGuest, dialAgent } from "../../src/attest/guest-agent.ts";
import type { Guest } from "../../src/guest/guest.ts";

describe("a guest's attestation agent", () => {
  it("is reached through a simulated guest's file system", () => {
    const guest = { id: "a", kind: "simulated", initPid: 42 } as Guest;
    expect(agentOfGuest(guest, "do without")).toBe(
      "unix:///proc/42/root/run/confidential-containers/attestation-agent/attestation-agent.sock",
    );
  });

  it("is not reached in a virtual machine, and what to do is said", () => {
    const guest = { id: "a", kind: "vm" } as unknown as Guest;
    expect(() => agentOfGuest(guest, "do without")).toThrow(
      "guest a is a virtual machine: its attestation agent is not reached from here; do without",
    );
  });

  it("that does not listen is told by its address", async () => {
    const address = "unix:///nonexistent/aa.sock";
    await expect(dialAgent(address, 1000, new AbortController().signal)).rejects.toMatchObject({
      code: "agent",
      message: `the attestation agent at ${address} cannot be reached`,
    });
  });
});
