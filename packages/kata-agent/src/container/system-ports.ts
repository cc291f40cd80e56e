import { closeSync, readFileSync, statSync } from "node:fs";
import { hasCode, type Syscalls } from "@nacre/kata-sys-util";
import type { Logger } from "../log.ts";
import { parseCgroupMounts, type CgroupLayout } from "./cgroup-layout.ts";
import type { Cgroup } from "./cgroup.ts";
import { watchOom } from "./oom.ts";
import type { IoFactory, OomWatch, ProcessHandle, ProcessPort } from "./ports.ts";
import { SystemIo } from "./system-io.ts";

/** The real kernel for a ContainerManager. `socketDirectory` is ours alone; terminals arrive on sockets in it. */
export function systemContainerPorts(
  syscalls: Syscalls,
  log: Logger,
  socketDirectory: string,
): {
  io: IoFactory;
  processes: ProcessPort;
  cgroups: CgroupLayout;
  watchOom: (cgroup: Cgroup, killed: () => void) => OomWatch | undefined;
} {
  return {
    io: new SystemIo(syscalls, socketDirectory),
    processes: {
      open: (pid) => openProcess(syscalls, pid),
      status: readStatus,
      program: readProgram,
    },
    cgroups: parseCgroupMounts(readFileSync("/proc/self/mountinfo", "utf8"), readFileSync("/proc/self/cgroup", "utf8")),
    watchOom: (cgroup, killed) => watchOom(syscalls, log, cgroup, killed),
  };
}

function openProcess(syscalls: Syscalls, pid: number): ProcessHandle {
  let pidfd: number | undefined;
  try {
    pidfd = syscalls.pidfdOpen(pid);
  } catch (error) {
    // Ended and collected already: every signal to it has been delivered, so to speak.
    if (!hasCode(error, "ESRCH")) throw error;
  }
  return {
    send: (signal) => {
      if (pidfd === undefined) return false;
      try {
        syscalls.pidfdSendSignal(pidfd, signal);
        return true;
      } catch (error) {
        if (hasCode(error, "ESRCH")) return false;
        throw error;
      }
    },
    close: () => {
      if (pidfd !== undefined) closeSync(pidfd);
      pidfd = undefined;
    },
  };
}

/**
 * The first file is read only for the lock that it takes: execve(2) holds it from giving up the old program until the
 * signal handlers are reset, so the second cannot show the new program with the old one's handlers.
 */
function readStatus(pid: number): string | undefined {
  try {
    readFileSync(`/proc/${pid}/personality`);
    return readFileSync(`/proc/${pid}/status`, "latin1");
  } catch {
    return undefined;
  }
}

function readProgram(pid: number): string | undefined {
  try {
    const { dev, ino } = statSync(`/proc/${pid}/exe`, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}
