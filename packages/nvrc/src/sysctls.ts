import type { Effects } from "@nacre/kata-sys-util";

import { NvrcError } from "./error.ts";

/** The subnet manager and the fabric manager send bursts over sockets of the default size (section 1.1, step 4). */
const SOCKET_BUFFER = String(16 * 1024 * 1024);
const SOCKET_SYSCTLS = ["net.core.rmem_default", "net.core.wmem_default", "net.core.rmem_max", "net.core.wmem_max"];

/** Settings of the kernel that are the machine's where it is shared. */
export async function setSysctls(effects: Effects, logging: boolean): Promise<void> {
  const settings = SOCKET_SYSCTLS.map((name) => [name, SOCKET_BUFFER] as const);
  // Without the last the kernel drops lines of daemons that write many.
  for (const [name, value] of [...settings, ...(logging ? [["kernel.printk_devkmsg", "on"] as const] : [])]) {
    try {
      await effects.setSysctl(name, value);
    } catch (cause) {
      throw new NvrcError("device", `set ${name} to ${value}`, { cause });
    }
  }
}
