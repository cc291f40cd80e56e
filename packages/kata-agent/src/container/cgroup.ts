import { closeSync, constants, openSync, readFileSync, rmdirSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { CgroupController, CgroupLayout } from "./cgroup-layout.ts";

/** Rounds of killing after which a control group that still gains processes is given up. */
const MAX_KILL_ROUNDS = 64;

/**
 * The control group of one container. Its files are read and written synchronously: they are the kernel's memory, a
 * few microseconds each, and a queue of slow file reads elsewhere must not hold up statistics (kata#13452).
 */
export class Cgroup {
  readonly layout: CgroupLayout;
  /** Absolute below each hierarchy's root. */
  readonly path: string;

  constructor(layout: CgroupLayout, path: string) {
    this.layout = layout;
    this.path = path;
  }

  /** Directory of a controller, or undefined where the guest lacks it. On version 2 all controllers share one. */
  directory(controller: CgroupController): string | undefined {
    const root = this.layout.version === 2 ? this.layout.unified : this.layout.controllers.get(controller);
    return root === undefined ? undefined : join(root, this.path);
  }

  /** Text of a controller's file; undefined where it, or the controller, does not exist. */
  read(controller: CgroupController, file: string): string | undefined {
    const directory = this.directory(controller);
    if (directory === undefined) return undefined;
    try {
      return readFileSync(join(directory, file), "latin1");
    } catch {
      return undefined;
    }
  }

  /** Writes a controller's file in one call; throws the system's error, ENOENT where the controller does not exist. */
  write(controller: CgroupController, file: string, value: string): void {
    const directory = this.directory(controller);
    if (directory === undefined) {
      throw Object.assign(new Error(`no ${controller} controller`), { code: "ENOENT", errno: -2 });
    }
    writeControlFile(join(directory, file), value);
  }

  /** Process ids in the group itself, not in those below it, which may be other containers'. */
  processes(): number[] {
    const directory =
      this.directory("freezer") ?? this.directory("pids") ?? this.directory("memory") ?? this.directory("devices");
    return directory === undefined ? [] : listProcesses(directory);
  }

  /**
   * Ends every process of the group with SIGKILL, also a frozen one and those that fork meanwhile: by cgroup.kill
   * where the kernel has it, else by freezing, sending and thawing (spec 3.8).
   */
  kill(send: (pid: number) => void): void {
    if (this.layout.version === 2) {
      try {
        this.write("freezer", "cgroup.kill", "1");
        this.thaw();
        return;
      } catch {
        // Older than Linux 5.14: the long way below.
      }
    }
    this.#writeFreezer("1", "FROZEN");
    this.killListed(send);
    this.thaw();
  }

  /** Sends SIGKILL to what the group lists until the list brings nobody new; tells whom. */
  killListed(send: (pid: number) => void): readonly number[] {
    const signalled = new Set<number>();
    for (let round = 0; round < MAX_KILL_ROUNDS; round += 1) {
      const fresh = this.processes().filter((pid) => !signalled.has(pid));
      if (fresh.length === 0) break;
      for (const pid of fresh) {
        signalled.add(pid);
        send(pid);
      }
    }
    return [...signalled];
  }

  /** Lets a frozen group run again; nothing happens when it is not frozen or does not exist. */
  thaw(): void {
    this.#writeFreezer("0", "THAWED");
  }

  /** Removes the group from every hierarchy. False when something is still inside. */
  remove(): boolean {
    let gone = true;
    for (const root of this.layout.all) gone = removeDirectory(join(root, this.path)) && gone;
    return gone;
  }

  #writeFreezer(unified: string, legacy: string): void {
    try {
      if (this.layout.version === 2) this.write("freezer", "cgroup.freeze", unified);
      else this.write("freezer", "freezer.state", legacy);
    } catch {
      // Gone already, or no freezer: then nothing can be frozen.
    }
  }
}

/** Writes a kernel control file without creating it: one write call, the value as given. */
function writeControlFile(path: string, value: string): void {
  const fd = openSync(path, constants.O_WRONLY);
  try {
    writeSync(fd, value);
  } finally {
    closeSync(fd);
  }
}

function listProcesses(directory: string): number[] {
  let text: string;
  try {
    text = readFileSync(join(directory, "cgroup.procs"), "latin1");
  } catch {
    return [];
  }
  return text.split("\n").flatMap((line) => (/^[1-9]\d*$/.test(line) ? [Number(line)] : []));
}

function removeDirectory(directory: string): boolean {
  try {
    rmdirSync(directory);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT";
  }
  return true;
}
