import { closeSync, openSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { promisify } from "node:util";

import { Reboot } from "./constants.ts";
import { Errno } from "./errno.ts";
import { hasCode, SysError } from "./error.ts";
import type { MachineCalls, ProcessCalls } from "./syscalls.ts";

/**
 * What changes the machine and not a namespace. In a virtual machine it is done; in a simulated guest, which shares the
 * developer's kernel, it is recorded (design decision 12). Nothing else in the daemons may do these things.
 */
export interface Effects {
  /** Sets the wall clock; nanoseconds since the epoch. */
  setClock(timeNs: bigint): Promise<void>;
  swapOn(path: string): Promise<void>;
  swapOff(path: string): Promise<void>;
  /** Brings a hot-plugged processor into use. */
  onlineCpu(index: number): Promise<void>;
  /** Brings a hot-plugged block of memory into use; the number in `/sys/devices/system/memory/memoryN`. */
  onlineMemory(block: number): Promise<void>;
  /** Loads a kernel module and what it depends on by name, with `name=value` parameters; from below `root` if given. */
  loadModule(name: string, parameters: readonly string[], root?: string): Promise<void>;
  /** Loads one kernel module from its file; one that is there already, built in or loaded, is no error. */
  insertModule(path: string): Promise<void>;
  /** No module can be loaded after this, until the machine restarts. */
  lockModules(): Promise<void>;
  /** Sets a parameter of the kernel that no namespace holds, as `kernel.printk_devkmsg`. */
  setSysctl(name: string, value: string): Promise<void>;
  /** How soon the kernel ends a process when memory runs out: -1000 (never) to 1000. */
  adjustOomScore(pid: number, score: number): Promise<void>;
  /** Ctrl-Alt-Del becomes SIGINT to the first process instead of a restart at once. */
  catchCtrlAltDel(): Promise<void>;
  /** Writes what is not yet on disk, then ends the machine. */
  powerOff(): Promise<void>;
  restart(): Promise<void>;
}

/** One effect that was asked for. */
export interface RecordedEffect {
  readonly name: keyof Effects;
  readonly args: readonly unknown[];
}

const MODPROBE = "/sbin/modprobe";
/** The driver of a GPU takes half a minute on a large machine; a bound on hanging. */
const MODPROBE_DEADLINE_MS = 120_000;
/** A disk that never answers, the host's for instance, must not keep the machine from ending. */
const SYNC_DEADLINE_MS = 30_000;
const SYSCTL_NAME = /^[a-z0-9_]+(?:\.[A-Za-z0-9_-]+)+$/u;
/** A module's name; anything else could be an option of modprobe or a path. */
const MODULE_NAME = /^[A-Za-z0-9_][A-Za-z0-9_-]*$/u;

/** The effects of a real machine. */
export function linuxEffects(sys: MachineCalls & ProcessCalls): Effects {
  const end = async (command: number): Promise<void> => {
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<void>((resolve) => (timer = setTimeout(resolve, SYNC_DEADLINE_MS)));
    await Promise.race([sys.sync(), deadline]);
    clearTimeout(timer);
    sys.reboot(command);
  };
  return {
    setClock: async (timeNs) => {
      sys.clockSettime(timeNs);
    },
    swapOn: (path) => sys.swapon(path, 0),
    swapOff: (path) => sys.swapoff(path),
    onlineCpu: async (index) => writeFile(`/sys/devices/system/cpu/cpu${number(index)}/online`, "1"),
    onlineMemory: async (block) => writeFile(`/sys/devices/system/memory/memory${number(block)}/state`, "online"),
    loadModule: async (name, parameters, root) => {
      const wrong = [name].filter((text) => !MODULE_NAME.test(text));
      wrong.push(...parameters.filter((text) => text.startsWith("-")));
      if (wrong.length > 0) throw invalid("modprobe", `a module and its parameters, got ${JSON.stringify(wrong[0])}`);
      // Here and not above: it brings half of Node's networking into memory, for something done once if at all.
      const { execFile } = await import("node:child_process");
      const options = { env: {}, timeout: MODPROBE_DEADLINE_MS, killSignal: "SIGKILL" } as const;
      const folder = root === undefined ? [] : ["--dirname", root];
      await promisify(execFile)(MODPROBE, [...folder, name, ...parameters], options);
    },
    insertModule: async (path) => {
      const fd = openSync(path, "r");
      try {
        await sys.finitModule(fd, "");
      } catch (error) {
        if (!hasCode(error, "EEXIST")) throw error;
      } finally {
        closeSync(fd);
      }
    },
    lockModules: () => writeFile("/proc/sys/kernel/modules_disabled", "1"),
    setSysctl: async (name, value) => {
      if (!SYSCTL_NAME.test(name)) throw invalid("write", `a kernel parameter, got ${JSON.stringify(name)}`);
      // kernel.printk_devkmsg takes a whole line only.
      await writeFile(`/proc/sys/${name.replaceAll(".", "/")}`, `${value}\n`);
    },
    adjustOomScore: async (pid, score) => writeFile(`/proc/${number(pid)}/oom_score_adj`, String(score)),
    catchCtrlAltDel: async () => {
      sys.reboot(Reboot.CAD_OFF);
    },
    powerOff: () => end(Reboot.POWER_OFF),
    restart: () => end(Reboot.RESTART),
  };
}

/** Effects that only tell `record`: for the simulated guest and for tests. */
export function recordingEffects(record: (effect: RecordedEffect) => void): Effects {
  const note =
    (name: keyof Effects) =>
    async (...args: readonly unknown[]): Promise<void> => {
      record({ name, args });
    };
  return {
    setClock: note("setClock"),
    swapOn: note("swapOn"),
    swapOff: note("swapOff"),
    onlineCpu: note("onlineCpu"),
    onlineMemory: note("onlineMemory"),
    loadModule: note("loadModule"),
    insertModule: note("insertModule"),
    lockModules: note("lockModules"),
    setSysctl: note("setSysctl"),
    adjustOomScore: note("adjustOomScore"),
    catchCtrlAltDel: note("catchCtrlAltDel"),
    powerOff: note("powerOff"),
    restart: note("restart"),
  };
}

function number(value: number): number {
  if (!Number.isSafeInteger(value) || value < 0) throw invalid("write", `a number from 0, got ${value}`);
  return value;
}

function invalid(call: string, text: string): SysError {
  return new SysError("EINVAL", Errno.EINVAL, call, `${call}: expected ${text}`);
}
