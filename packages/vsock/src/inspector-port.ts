import { once } from "node:events";

import type { KernelCommandLine } from "@nacre/protocols";

import { siblingAddress } from "./sibling-address.ts";

declare const NACRE_FLAVOUR: string | undefined;

/** The vsock port of a daemon's debugger; Node's own number for it. */
export const INSPECTOR_PORT = 9229;
/** Kernel parameter: which daemon offers its debugger. */
export const INSPECT_PARAMETER = "nacre.inspect";
/** Kernel parameter: that daemon goes on only when a debugger is there. */
export const INSPECT_WAIT_PARAMETER = "nacre.inspect.wait";

const DEFAULT_SERVER_ADDRESS = "vsock://-1:1024";

/** A day: whoever steps through a start is in no hurry. */
const PATIENT_MS: number = 24 * 60 * 60 * 1000;

/** What the relay is told. */
export interface RelayData {
  readonly address: string;
}
/** What it tells: that it listens, then once that a debugger lets the daemon run. */
export type RelayMessage = "listening" | "run";

/**
 * Devkit flavour: lets a host debug this daemon where the kernel command line names it, by a port beside the agent's. A
 * thread of its own serves that port and speaks with this one's inspector, so it goes on while the daemon stands at a
 * breakpoint, and nothing listens on the network that containers see. Elsewhere this function does nothing, and what
 * would do it is not in the bundle.
 */
export async function offerInspector(daemon: string, kernel: KernelCommandLine): Promise<void> {
  if (typeof NACRE_FLAVOUR === "undefined" || NACRE_FLAVOUR === "devkit") {
    if (kernel.last(INSPECT_PARAMETER) !== daemon) return;
    const server = kernel.last("agent.server_addr") ?? DEFAULT_SERVER_ADDRESS;
    const address = siblingAddress(server, INSPECTOR_PORT);
    if (address === undefined) throw new Error(`${INSPECT_PARAMETER}: no port can be had beside ${server}`);
    // Beside the bundle in the guest, in this package otherwise.
    const relay = import.meta.url.endsWith(".mjs")
      ? new URL("./inspector-relay.mjs", import.meta.url)
      : new URL(import.meta.resolve("@nacre/vsock/inspector-relay"));
    const workerData: RelayData = { address };
    // Only now: half a megabyte of every daemon that nobody debugs.
    const { Worker } = await import("node:worker_threads");
    const worker = new Worker(relay, { workerData });
    await once(worker, "message");
    if (kernel.has(INSPECT_WAIT_PARAMETER)) {
      await once(worker, "message");
      // oxlint-disable-next-line no-debugger -- here is where whoever waited for the debugger begins
      debugger;
    }
    worker.unref();
  }
}

/** A deadline for a daemon to be ready, which is a day while one is debugged; in other flavours it is what it is. */
export function patientDeadline(kernel: KernelCommandLine, deadlineMs: number): number {
  if (typeof NACRE_FLAVOUR === "undefined" || NACRE_FLAVOUR === "devkit") {
    if (kernel.has(INSPECT_PARAMETER)) return Math.max(deadlineMs, PATIENT_MS);
  }
  return deadlineMs;
}
