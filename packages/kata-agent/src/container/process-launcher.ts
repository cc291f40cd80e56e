import { exitCode } from "@nacre/kata-sys-util";
import type { Logger } from "../log.ts";
import type { ExitWatcher, IoFactory, PreparedIo, ProcessPort } from "./ports.ts";
import { describeErrno } from "./errno.ts";
import { Process } from "./process.ts";
import { SIGKILL } from "./signals.ts";

const UNKNOWN_EXIT = 255;

/** Turns a runtime's create or exec into a {@link Process}: streams before, pidfd and exit watch after. */
export class ProcessLauncher {
  readonly processes: ProcessPort;
  readonly #io: IoFactory;
  readonly #reaper: ExitWatcher;
  readonly #log: Logger;

  constructor(ports: { io: IoFactory; reaper: ExitWatcher; processes: ProcessPort; log: Logger }) {
    this.#io = ports.io;
    this.#reaper = ports.reaper;
    this.#log = ports.log;
    this.processes = ports.processes;
  }

  /** Sends SIGKILL to a process that a control group lists; one that has ended meanwhile is fine. */
  readonly kill = (pid: number): void => {
    const handle = this.processes.open(pid);
    try {
      handle.send(SIGKILL);
    } finally {
      handle.close();
    }
  };

  /** Resolves when the process has ended, or at once when it is not this process's child. */
  async ended(pid: number): Promise<void> {
    await this.#reaper.watch(pid).catch(() => undefined);
  }

  /**
   * `run` starts the process through the runtime with the given streams and resolves with its pid. Whatever fails
   * afterwards, the streams are closed and the process, if there is one, has been killed and has ended.
   */
  async launch(
    execId: string,
    terminal: boolean,
    signal: AbortSignal | undefined,
    run: (io: PreparedIo) => Promise<number>,
  ): Promise<Process> {
    const io = terminal ? await this.#io.terminal() : this.#io.pipes();
    try {
      const pid = await run(io);
      // In one turn of the event loop with the runtime's end: a short process may have ended already.
      const exited = this.#exit(pid);
      const handle = this.processes.open(pid);
      try {
        signal?.throwIfAborted();
        const streams = await io.connect(signal ?? new AbortController().signal);
        return new Process({ pid, execId, handle, streams, exited });
      } catch (error) {
        handle.send(SIGKILL);
        handle.close();
        await exited;
        throw error;
      }
    } catch (error) {
      io.abandon();
      throw error;
    }
  }

  /** The exit as one number. An end that nobody can tell about counts as 255, as when the guest is lost. */
  async #exit(pid: number): Promise<number> {
    try {
      return exitCode(await this.#reaper.watch(pid));
    } catch (error) {
      this.#log.error("exit of a process is unknown", { pid, error: describeErrno(error) });
      return UNKNOWN_EXIT;
    }
  }
}
