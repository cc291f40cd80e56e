import type { ChildProcess } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { readdirSync, readFileSync } from "node:fs";

import { ChildCode, Wait } from "./constants.ts";
import { Errno } from "./errno.ts";
import { hasCode, SysError } from "./error.ts";
import type { ChildInfo, ProcessCalls, WaitTarget } from "./syscalls.ts";

/** How a process ended: `code` if it exited, `signal` (its number) if it was killed. Exactly one is set. */
export interface ExitStatus {
  readonly pid: number;
  readonly code: number | undefined;
  readonly signal: number | undefined;
}

/**
 * Exits of children nobody asked about yet. runc's inits may end before their pid is known here; more than this many at
 * once are orphans that nobody will ask about.
 */
const MAX_UNCLAIMED = 1024;
/** Node says here which children it makes; those are libuv's to reap. */
const SPAWN_CHANNEL = "child_process";

export interface ReaperOptions {
  readonly sys: ProcessCalls;
  /** Adopt orphans (PR_SET_CHILD_SUBREAPER). PID 1 does so anyway. Default true. */
  readonly subreaper?: boolean;
  /** Told of each end that nobody watched, with the name that the kernel had of the program (at most 15 characters). */
  readonly unwatched?: (status: ExitStatus, name: string) => void;
}

interface Waiter {
  resolve(status: ExitStatus): void;
  reject(error: unknown): void;
}

/**
 * Collects the children that are not libuv's: container inits, and orphans that land here because this process is their
 * subreaper. SIGCHLD is the event; what has ended is looked at first (WNOWAIT) and taken only if Node did not make it,
 * because a status taken from libuv is an `exit` event that never comes.
 *
 * Start it before the first child is spawned. It knows the children spawned by its own thread: workers must not spawn.
 */
export class Reaper {
  readonly #sys: ProcessCalls;
  readonly #subreaper: boolean;
  readonly #unwatched: ((status: ExitStatus, name: string) => void) | undefined;
  readonly #libuv = new Set<ChildProcess>();
  readonly #waiters = new Map<number, Waiter[]>();
  readonly #unclaimed = new Map<number, ExitStatus>();
  #running = false;

  constructor(options: ReaperOptions) {
    this.#sys = options.sys;
    this.#subreaper = options.subreaper ?? true;
    this.#unwatched = options.unwatched;
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    if (this.#subreaper) this.#sys.setChildSubreaper(true);
    subscribe(SPAWN_CHANNEL, this.#spawned);
    process.on("SIGCHLD", this.#sweep);
    this.#sweep();
  }

  /** Stops collecting; who still waits gets ECANCELED. */
  stop(): void {
    if (!this.#running) return;
    this.#running = false;
    unsubscribe(SPAWN_CHANNEL, this.#spawned);
    process.off("SIGCHLD", this.#sweep);
    for (const waiter of [...this.#waiters.values()].flat()) {
      waiter.reject(SysError.fromErrno(Errno.ECANCELED, "waitid"));
    }
    this.#waiters.clear();
    this.#unclaimed.clear();
  }

  /**
   * How the child `pid` ends, or has ended since {@link start}; an end that nobody watched is told once. ECHILD if it
   * is not a child of this process, EINVAL if Node spawned it (its own `exit` event tells).
   */
  watch(pid: number): Promise<ExitStatus> {
    if (this.#isLibuv(pid)) {
      const message = `waitid: expected a process that Node did not spawn, got ${pid}`;
      return Promise.reject(new SysError("EINVAL", Errno.EINVAL, "waitid", message));
    }
    const early = this.#unclaimed.get(pid);
    this.#unclaimed.delete(pid);
    return new Promise((resolve, reject) => {
      try {
        // A living child with this pid is another one than the early exit's: pids are used again.
        const ended = this.#sys.waitid({ pid }, Wait.EXITED | Wait.NOHANG);
        if (ended === undefined) this.#wait(pid, { resolve, reject });
        else this.#deliver(exitStatus(ended), { resolve, reject });
      } catch (error) {
        if (hasCode(error, "ECHILD") && early !== undefined) resolve(early);
        else reject(error);
      }
    });
  }

  readonly #spawned = (message: unknown): void => {
    const { process: child } = message as { process: ChildProcess };
    this.#libuv.add(child);
    child.once("exit", () => this.#libuv.delete(child));
    // A spawn that failed has no exit.
    child.once("error", () => {
      if (child.pid === undefined) this.#libuv.delete(child);
    });
  };

  readonly #sweep = (): void => {
    let last: number | undefined;
    for (let ended = this.#peek({ all: true }); ended !== undefined; ended = this.#peek({ all: true })) {
      if (this.#isLibuv(ended.pid) || ended.pid === last) {
        // The kernel shows the same one again until its owner takes it, so the others have to be asked for by name.
        for (const pid of this.#children()) if (!this.#isLibuv(pid)) this.#collect(pid);
        return;
      }
      last = ended.pid;
      this.#collect(ended.pid);
    }
  };

  #peek(target: WaitTarget): ChildInfo | undefined {
    try {
      return this.#sys.waitid(target, Wait.EXITED | Wait.NOHANG | Wait.NOWAIT);
    } catch (error) {
      if (hasCode(error, "ECHILD")) return undefined;
      throw error;
    }
  }

  #collect(pid: number): void {
    let ended: ChildInfo | undefined;
    // Until it is collected its name can be read.
    const name = this.#unwatched === undefined ? "" : commandName(pid);
    try {
      ended = this.#sys.waitid({ pid }, Wait.EXITED | Wait.NOHANG);
    } catch (error) {
      if (!hasCode(error, "ECHILD")) throw error;
    }
    if (ended === undefined) return;
    const isWatched = this.#waiters.has(pid);
    this.#deliver(exitStatus(ended));
    if (!isWatched) this.#unwatched?.(exitStatus(ended), name);
  }

  #deliver(status: ExitStatus, ...more: readonly Waiter[]): void {
    const waiters = [...(this.#waiters.get(status.pid) ?? []), ...more];
    this.#waiters.delete(status.pid);
    for (const waiter of waiters) waiter.resolve(status);
    if (waiters.length > 0) return;
    // Set again to make it the newest: the map's order is the order of arrival.
    this.#unclaimed.delete(status.pid);
    this.#unclaimed.set(status.pid, status);
    const [oldest] = this.#unclaimed.keys();
    if (this.#unclaimed.size > MAX_UNCLAIMED && oldest !== undefined) this.#unclaimed.delete(oldest);
  }

  #wait(pid: number, waiter: Waiter): void {
    if (!this.#running) {
      waiter.reject(SysError.fromErrno(Errno.ECANCELED, "waitid"));
      return;
    }
    this.#waiters.set(pid, [...(this.#waiters.get(pid) ?? []), waiter]);
  }

  #isLibuv(pid: number): boolean {
    for (const child of this.#libuv) if (child.pid === pid) return true;
    return false;
  }

  /** All children, by the thread that made or adopted them (CONFIG_PROC_CHILDREN); else those that are waited for. */
  #children(): readonly number[] {
    try {
      return readdirSync("/proc/self/task").flatMap((task) =>
        readFileSync(`/proc/self/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number),
      );
    } catch (error) {
      if (!hasCode(error, "ENOENT")) throw error;
      return [...this.#waiters.keys()];
    }
  }
}

function commandName(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "latin1").trimEnd();
  } catch {
    // Gone, or no /proc: then it has no name.
    return "";
  }
}

/** What waitid(2) reported, as one of two ends. */
export function exitStatus(info: ChildInfo): ExitStatus {
  const exited = info.code === ChildCode.EXITED;
  return { pid: info.pid, code: exited ? info.status : undefined, signal: exited ? undefined : info.status };
}

/** The one number that shells and runtimes make of it: the exit code, or 128 and the signal. */
export function exitCode(status: ExitStatus): number {
  return status.code ?? 128 + (status.signal ?? 0);
}
