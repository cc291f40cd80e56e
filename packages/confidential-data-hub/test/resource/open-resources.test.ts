import { describe, expect, it } from "vitest";

import { openResources } from "../../src/resource/open-resources.ts";

describe("openResources", () => {
  it("makes its client again where that failed", async () => {
    let failures = 0;
    const env = {
      get NO_PROXY(): undefined {
        failures += 1;
        if (failures === 1) throw new Error("no memory for a client");
        return undefined;
      },
    };
    const kbc = { name: "cc_kbc", url: "http://broker.test" } as const;
    const resources = await openResources({ kbc, agentSocket: "unix:///nonexistent/agent.sock" }, env);
    const { signal } = new AbortController();
    await expect(resources.get("kbs:///a/b/c", signal)).rejects.toThrow("no memory for a client");
    // The client is there now; it is the agent's token that is not.
    await expect(resources.get("kbs:///a/b/c", signal)).rejects.toMatchObject({ name: "HubError", code: "agent" });
    await expect(resources.get("kbs:///a/b/c", signal)).rejects.toMatchObject({ name: "HubError", code: "agent" });
    expect(failures).toBe(2);
  });
});
