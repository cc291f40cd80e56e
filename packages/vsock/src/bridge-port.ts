import { mkdirSync } from "node:fs";

import type { KernelCommandLine } from "@nacre/protocols";

declare const NACRE_FLAVOUR: string | undefined;

/** Kernel parameter: the host reaches the guest's ports over a virtio-serial port. */
export const BRIDGE_PARAMETER = "nacre.bridge";
/** Where daemons listen then: `PORT.sock`, as `agent.server_addr` says. */
export const BRIDGE_FOLDER = "/run/nacre-ports";

/**
 * Devkit flavour: serves the host's end of a bridge where the kernel command line says that there is one, in a thread of
 * its own. Elsewhere this function does nothing, and what would do it is not in the bundle.
 */
export async function offerBridge(kernel: KernelCommandLine): Promise<void> {
  if (typeof NACRE_FLAVOUR === "undefined" || NACRE_FLAVOUR === "devkit") {
    if (!kernel.has(BRIDGE_PARAMETER)) return;
    mkdirSync(BRIDGE_FOLDER, { mode: 0o700 });
    const bridge = import.meta.url.endsWith(".mjs")
      ? new URL("./serial-bridge.mjs", import.meta.url)
      : new URL(import.meta.resolve("@nacre/vsock/serial-bridge"));
    const { Worker } = await import("node:worker_threads");
    // Its end is no end of the guest: the host can do that to any of its devices.
    new Worker(bridge).on("error", () => {}).unref();
  }
}
