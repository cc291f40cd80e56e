import { describe, expect, it } from "vitest";

import { guestDetails, type GuestDetailsPorts } from "../src/guest-details.ts";

function machine(files: Readonly<Record<string, string>>): GuestDetailsPorts {
  return {
    exists: (path) => Promise.resolve(path in files),
    readText: (path) => Promise.resolve(files[path] ?? ""),
  };
}

const BLOCK = "/sys/devices/system/memory/block_size_bytes";
const PROBE = "/sys/devices/system/memory/probe";

describe("guestDetails", () => {
  it("gives block size and probe when asked, and who we are", async () => {
    const details = await guestDetails({ mem_block_size: true, mem_hotplug_probe: true }, ["a", "b"], {
      ...machine({ [BLOCK]: "8000000\n", [PROBE]: "" }),
    });
    expect(details).toEqual({
      mem_block_size_bytes: 134_217_728n,
      support_mem_hotplug_probe: true,
      agent_details: {
        version: "4.1.0",
        init_daemon: false,
        device_handlers: [],
        storage_handlers: ["a", "b"],
        supports_seccomp: true,
        extra_features: ["agent-policy", "seccomp"],
      },
    });
  });

  it("leaves them out when not asked, or when the kernel has none", async () => {
    const files = machine({ [BLOCK]: "8000000\n", [PROBE]: "" });
    const quiet = await guestDetails({ mem_block_size: false, mem_hotplug_probe: false }, [], files);
    expect(quiet).toMatchObject({ mem_block_size_bytes: 0n, support_mem_hotplug_probe: false });
    const without = await guestDetails({ mem_block_size: true, mem_hotplug_probe: true }, [], machine({}));
    expect(without).toMatchObject({ mem_block_size_bytes: 0n, support_mem_hotplug_probe: false });
  });

  it("refuses a block size that is no number", async () => {
    const files = machine({ [BLOCK]: "lots" });
    await expect(guestDetails({ mem_block_size: true, mem_hotplug_probe: false }, [], files)).rejects.toThrow("hexa");
  });
});
