import { accessSync, constants, existsSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";

import { NacreError } from "../../error.ts";
import { REPOSITORY } from "../../repository.ts";
import type { GuestLayout } from "../layout.ts";
import type { Bridge } from "../plan.ts";
import { connectWhenThere } from "../wait-socket.ts";
import { type OwnProcess, startOwnProcess } from "./own-process.ts";

const KERNEL_DEVICE = "/dev/vhost-vsock";
/** Built by `make vhost-device-vsock`, or installed by the machine's owner. */
export const DEVICE_PROGRAMS: readonly string[] = [
  join(REPOSITORY, "build/tools/vhost-device-vsock"),
  "/usr/local/bin/vhost-device-vsock",
  "/usr/bin/vhost-device-vsock",
];

/** How a machine gives its guests vsock. */
export type VsockProvider =
  | { readonly kind: "kernel" }
  | { readonly kind: "process"; readonly program: string }
  /** None; a serial port of the machine in its place. */
  | { readonly kind: "serial" };

/** Whether a guest can have vsock on this machine. */
export function hasVsock(programs: readonly string[] = DEVICE_PROGRAMS): boolean {
  return isUsable(KERNEL_DEVICE) || programs.some((path) => existsSync(path));
}

/** The one that is asked for, else the kernel's where it is there, else a program. Throws `environment` for none. */
export function vsockProvider(asked: Bridge | undefined, programs: readonly string[] = DEVICE_PROGRAMS): VsockProvider {
  if (asked === "virtio-serial") return { kind: "serial" };
  if (asked !== "vhost-user-vsock" && isUsable(KERNEL_DEVICE)) return { kind: "kernel" };
  const program = programs.find((path) => existsSync(path));
  if (asked !== "vhost-vsock" && program !== undefined) return { kind: "process", program };
  const kernel = `${KERNEL_DEVICE} (modprobe vhost_vsock)`;
  const process = `${programs[0]} (make vhost-device-vsock)`;
  const expected = asked === undefined ? `${kernel} or ${process}` : asked === "vhost-vsock" ? kernel : process;
  throw new NacreError("environment", `expected ${expected}, which is not there; --bridge virtio-serial needs neither`);
}

function isUsable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** A context id that no other guest of this machine has, but for chance: 0 to 2 have meanings. */
export function contextId(guestId: string): number {
  return Math.max(3, Number.parseInt(guestId, 16) >>> 1);
}

/** A process that is a guest's vsock device, and the connection that QEMU is to get. */
export interface DeviceProcess {
  readonly process: OwnProcess;
  readonly connection: Socket;
}

/** Starts the device's process; callers from this machine find its ports behind `layout.hybridSocket`. */
export async function startDeviceProcess(
  program: string,
  layout: GuestLayout,
  logFd: number,
  signal: AbortSignal,
): Promise<DeviceProcess> {
  const cid = String(contextId(layout.id));
  const argv = [program, "--guest-cid", cid, "--socket", layout.vsockDevice, "--uds-path", layout.hybridSocket];
  const process = await startOwnProcess(argv, ["ignore", logFd, logFd]);
  const died = process.ended.then((how) => {
    throw new NacreError("guest", `${program} ended with ${how}`);
  });
  died.catch(() => {});
  const connection = await Promise.race([connectWhenThere(layout.vsockDevice, signal), died]);
  return { process, connection };
}
