import { readlinkSync } from "node:fs";
import type { Socket } from "node:net";
import { basename } from "node:path";

import { peerProcess } from "@nacre/vsock";

import { identityOf, type ProcessIdentity } from "../guest/identity.ts";

/** How the program of Kata's shim is called, under containerd and CRI-O alike. */
const SHIM = "containerd-shim-kata";

/**
 * The shim that makes a call; undefined for any other caller. A shim lives as long as its pod, holds the one connection
 * to the agent, and is not replaced: whatever its guest still does after it serves nobody.
 */
export function runtimeProcess(socket: Socket): ProcessIdentity | undefined {
  const pid = peerProcess(socket);
  return pid !== undefined && programOf(pid).startsWith(SHIM) ? identityOf(pid) : undefined;
}

function programOf(pid: number): string {
  try {
    return basename(readlinkSync(`/proc/${pid}/exe`));
  } catch {
    // It has ended since it called, or is somebody's whom we may not look at.
    return "";
  }
}
