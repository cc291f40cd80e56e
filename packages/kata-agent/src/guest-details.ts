import { access, readFile } from "node:fs/promises";

import type { grpc, Init } from "@nacre/protocols";

import { internalError } from "./error.ts";
import { AGENT_VERSION } from "./version.ts";

/** Where the kernel describes memory hotplug. */
const MEMORY_SYSFS = "/sys/devices/system/memory";

/** What this agent has beyond the basic calls, sorted (section 1.3). */
const EXTRA_FEATURES = ["agent-policy", "seccomp"] as const;

export interface GuestDetailsPorts {
  readText(path: string): Promise<string>;
  exists(path: string): Promise<boolean>;
}

export const systemGuestDetails: GuestDetailsPorts = {
  readText: (path) => readFile(path, "utf8"),
  exists: (path) =>
    access(path).then(
      () => true,
      () => false,
    ),
};

/** GetGuestDetails: block size and probe only when asked for. Throws INTERNAL when the block size is not a number. */
export async function guestDetails(
  request: grpc.GuestDetailsRequest,
  storageHandlers: readonly string[],
  ports: GuestDetailsPorts = systemGuestDetails,
): Promise<Init<grpc.GuestDetailsResponse>> {
  return {
    mem_block_size_bytes: request.mem_block_size ? await memoryBlockSize(ports) : 0n,
    support_mem_hotplug_probe: request.mem_hotplug_probe && (await ports.exists(`${MEMORY_SYSFS}/probe`)),
    agent_details: {
      version: AGENT_VERSION,
      init_daemon: process.pid === 1,
      device_handlers: [],
      storage_handlers: [...storageHandlers],
      supports_seccomp: true,
      extra_features: [...EXTRA_FEATURES],
    },
  };
}

/** The file holds a hexadecimal number; a kernel without memory hotplug does not have it, which is 0. */
async function memoryBlockSize(ports: GuestDetailsPorts): Promise<bigint> {
  const path = `${MEMORY_SYSFS}/block_size_bytes`;
  if (!(await ports.exists(path))) return 0n;
  const text = (await ports.readText(path)).trim();
  if (!/^[0-9a-f]{1,16}$/i.test(text)) throw internalError(`${path}: expected a hexadecimal number`);
  return BigInt(`0x${text}`);
}
