import { AgentError, internalError } from "../error.ts";
import { Code } from "@nacre/protocols";
import { describeErrno, errnoCode } from "./errno.ts";
import type { ByteSource, ProcessHandle, ProcessStreams } from "./ports.ts";

/** How long reads go on after the exit when somebody else still holds the stream's other end (spec 1.3). */
export const EXIT_GRACE_MS = 500;

const EMPTY = new Uint8Array(0);

/** VEOF of a terminal in its default state. */
const END_OF_TRANSMISSION = Uint8Array.of(4);

export interface ProcessOptions {
  pid: number;
  /** The name on the wire; the container's id for its first process. */
  execId: string;
  handle: ProcessHandle;
  streams: ProcessStreams;
  /** Exit code or 128 + signal. */
  exited: Promise<number>;
}

/** One process in a container that the host knows by name: its streams, its signals and its end. */
export class Process {
  readonly pid: number;
  readonly execId: string;
  /** Exit code, or 128 + the signal's number. Never rejects. */
  readonly exited: Promise<number>;
  readonly #handle: ProcessHandle;
  readonly #streams: ProcessStreams;
  /** Aborts when the time to drain the streams after the exit is over. */
  readonly #drained = new AbortController();
  #drainTimer: NodeJS.Timeout | undefined;
  #status: number | undefined;
  #stdinClosed = false;
  #closed = false;

  constructor(options: ProcessOptions) {
    this.pid = options.pid;
    this.execId = options.execId;
    this.#handle = options.handle;
    this.#streams = options.streams;
    this.exited = options.exited.then((status) => {
      this.#status = status;
      this.#handle.close();
      if (!this.#closed) this.#drainTimer = setTimeout(() => this.#drained.abort(), EXIT_GRACE_MS).unref();
      return status;
    });
  }

  /** The status once the process has ended. */
  get status(): number | undefined {
    return this.#status;
  }

  get terminal(): boolean {
    return this.#streams.resize !== undefined;
  }

  /**
   * Writes all of `bytes` unless the signal aborts in between; resolves with their number. Empty closes the stream
   * (spec 1.3). A process that no longer reads gives INTERNAL with EPIPE's text.
   */
  async writeStdin(bytes: Uint8Array, signal: AbortSignal): Promise<number> {
    if (this.#stdinClosed) throw internalError("Cannot get writer");
    if (bytes.length === 0) {
      await this.endStdin(signal);
      return 0;
    }
    return this.#write(bytes, signal);
  }

  /**
   * Ends the process's input as {@link closeStdin} does, but lets a terminal's program know: a terminal cannot be half
   * closed, so the end-of-file character is typed before.
   */
  async endStdin(signal: AbortSignal): Promise<void> {
    if (this.terminal && !this.#stdinClosed) {
      try {
        await this.#write(END_OF_TRANSMISSION, signal);
      } catch {
        // Nobody is there to read it: the input has ended either way.
        signal.throwIfAborted();
      }
    }
    this.closeStdin();
  }

  async #write(bytes: Uint8Array, signal: AbortSignal): Promise<number> {
    try {
      await this.#streams.stdin.write(bytes, signal);
      return bytes.length;
    } catch (error) {
      const code = errnoCode(error);
      // Closed by another call meanwhile.
      if (code === "EBADF") throw internalError("Cannot get writer");
      throw code === undefined ? error : internalError(describeErrno(error));
    }
  }

  /** Ends the process's input; a second call does nothing. A terminal stays open for its output. */
  closeStdin(): void {
    if (this.#stdinClosed) return;
    this.#stdinClosed = true;
    void this.#streams.stdin.end();
  }

  /** At most `max` bytes of output; empty at the end. A terminal's end is INTERNAL with EIO's text (spec 9.7). */
  readStdout(max: number, signal: AbortSignal): Promise<Uint8Array> {
    return this.#read(this.#streams.stdout, max, signal);
  }

  /** As {@link readStdout}. A terminal has no second output: always at its end. */
  async readStderr(max: number, signal: AbortSignal): Promise<Uint8Array> {
    const source = this.#streams.stderr;
    return source === undefined ? EMPTY : this.#read(source, max, signal);
  }

  /** Sets the terminal's size. */
  resize(rows: number, columns: number): void {
    // The real agent's text arrives quoted (golden-findings 1).
    if (this.#streams.resize === undefined) throw new AgentError(Code.UNAVAILABLE, '"no tty"');
    // The kernel's structure has 16 bits for each; what is above is cut, as in the real agent.
    this.#streams.resize(rows & 0xffff, columns & 0xffff);
  }

  /** Sends a signal; one to a process that has ended counts as sent (spec 3.8). */
  signal(signal: number): void {
    if (this.#status !== undefined) return;
    try {
      this.#handle.send(signal);
    } catch (error) {
      if (errnoCode(error) === "EINVAL") throw internalError("EINVAL: Invalid argument");
      throw error;
    }
  }

  /** Closes the streams: waiting readers see the end. The process itself is not touched. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#drainTimer);
    this.#drained.abort();
    this.#stdinClosed = true;
    this.#streams.close();
  }

  async #read(source: ByteSource, max: number, signal: AbortSignal): Promise<Uint8Array> {
    if (max === 0) return EMPTY;
    signal.throwIfAborted();
    const data = this.#drained.signal.aborted
      ? await readNow(source, max)
      : await this.#readBeforeDrained(source, max, signal);
    if (data !== null) return data;
    if (this.terminal && !this.#closed) throw internalError("Input/output error (os error 5)");
    return EMPTY;
  }

  async #readBeforeDrained(source: ByteSource, max: number, signal: AbortSignal): Promise<Uint8Array | null> {
    const either = AbortSignal.any([signal, this.#drained.signal]);
    try {
      return await source.read(max, either);
    } catch (error) {
      signal.throwIfAborted();
      if (this.#drained.signal.aborted) return EMPTY;
      throw error;
    }
  }
}

/** What is there at this moment; empty when nothing is. */
async function readNow(source: ByteSource, max: number): Promise<Uint8Array | null> {
  const now = new AbortController();
  const reading = source.read(max, now.signal);
  now.abort();
  try {
    return await reading;
  } catch (error) {
    if (error === now.signal.reason) return EMPTY;
    throw error;
  }
}
