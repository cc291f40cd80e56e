import { existsSync, readdirSync, readlinkSync } from "node:fs";

import { type NetlinkCalls, type Uevent, UeventSocket } from "@nacre/kata-sys-util";

import { describeErrno, errnoCode } from "../container/index.ts";
import { pciDevicePath, type SysfsPorts } from "./pci-device.ts";
import type { PciPath } from "./pci-path.ts";

const CLASS_NET = "/sys/class/net";

export const systemSysfs: SysfsPorts = {
  list: (path) => {
    try {
      return readdirSync(path);
    } catch (error) {
      throw errnoCode(error) === undefined ? error : new Error(describeErrno(error));
    }
  },
  link: (path) => {
    try {
      return readlinkSync(path);
    } catch {
      return undefined;
    }
  },
  exists: existsSync,
};

/**
 * The name of the interface whose device is plugged at `path`; waits for it until `timeoutMs` is over, told by the
 * kernel. Throws Error.
 */
export async function waitForPciInterface(
  path: PciPath,
  timeoutMs: number,
  signal: AbortSignal,
  sys: NetlinkCalls,
  ports: SysfsPorts = systemSysfs,
): Promise<string> {
  const device = pciDevicePath(path, ports);
  // Opened before the look, so that what comes between is heard.
  using events = UeventSocket.open(sys);
  const found = interfaceOf(device, ports);
  if (found !== undefined) return found;
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const event = await events.find((one) => isInterface(one, device), AbortSignal.any([signal, timeout]));
    return event.variables.get("INTERFACE") ?? "";
  } catch (error) {
    signal.throwIfAborted();
    throw timeout.aborted ? timedOut(timeoutMs, device) : error;
  }
}

function timedOut(timeoutMs: number, device: string): Error {
  return new Error(`Timeout after ${timeoutMs / 1000}s waiting for uevent of a network interface at ${device}`);
}

/** The interface that lies below a device, by the links of /sys/class/net. */
export function interfaceOf(device: string, ports: SysfsPorts): string | undefined {
  return ports.list(CLASS_NET).find((name) => {
    const target = ports.link(`${CLASS_NET}/${name}`);
    return target?.includes(`${device}/`) === true && target.includes("/net/");
  });
}

export function isInterface({ action, devicePath, variables }: Uevent, device: string): boolean {
  return (
    action === "add" &&
    devicePath.startsWith(`${device}/`) &&
    variables.get("SUBSYSTEM") === "net" &&
    (variables.get("INTERFACE") ?? "") !== ""
  );
}
