import { closeSync, existsSync, openSync, watch } from "node:fs";
import { join } from "node:path";
import type { DescriptorCalls } from "@nacre/kata-sys-util";
import type { Logger } from "../log.ts";
import type { Cgroup } from "./cgroup.ts";
import { describeErrno } from "./errno.ts";
import type { OomWatch } from "./ports.ts";

/** An eventfd holds one 64-bit counter. */
const COUNTER_BYTES = 8;

/**
 * Calls `killed` each time that the kernel has killed processes of the group for want of memory; several kills may come
 * as one call. Version 2 by inotify on memory.events, version 1 by an eventfd (spec 3.8). The real agent stops after
 * one event, this one goes on until closed. Undefined, with a line in the log, where the guest has neither.
 */
export function watchOom(
  syscalls: Pick<DescriptorCalls, "eventfd" | "poll" | "read">,
  log: Logger,
  cgroup: Cgroup,
  killed: () => void,
): OomWatch | undefined {
  const directory = cgroup.directory("memory");
  if (directory === undefined) return undefined;
  try {
    if (cgroup.layout.version === 2) return watchEvents(cgroup, join(directory, "memory.events"), killed);
    return watchControl(syscalls, cgroup, join(directory, "memory.oom_control"), killed);
  } catch (error) {
    log.warning("no notice of lack of memory", { path: directory, error: describeErrno(error) });
    return undefined;
  }
}

/** The file changes for other reasons too (the limit was reached, say); its line `oom_kill N` counts kills. */
function watchEvents(cgroup: Cgroup, file: string, killed: () => void): OomWatch {
  const kills = (): bigint =>
    BigInt(/^oom_kill (\d+)$/m.exec(cgroup.read("memory", "memory.events") ?? "")?.[1] ?? "0");
  let seen = kills();
  const watcher = watch(file, { persistent: false }, () => {
    const now = kills();
    if (now > seen) killed();
    seen = now;
  });
  // The file goes with the group; the container's end is noticed elsewhere.
  watcher.on("error", () => watcher.close());
  return { close: () => watcher.close() };
}

/** Registers an eventfd with the group. The kernel adds to it when the group is out of memory, and when it is removed. */
function watchControl(
  syscalls: Pick<DescriptorCalls, "eventfd" | "poll" | "read">,
  cgroup: Cgroup,
  file: string,
  killed: () => void,
): OomWatch {
  const event = syscalls.eventfd();
  try {
    const control = openSync(file, "r");
    try {
      cgroup.write("memory", "cgroup.event_control", `${event} ${control}`);
    } finally {
      closeSync(control);
    }
    const buffer = Buffer.alloc(COUNTER_BYTES);
    const watching = syscalls.poll(event, { readable: true }, () => {
      if (syscalls.read(event, buffer) !== undefined && existsSync(file)) killed();
    });
    watching.unref();
    return {
      close: () => {
        watching.close();
        closeSync(event);
      },
    };
  } catch (error) {
    closeSync(event);
    throw error;
  }
}
