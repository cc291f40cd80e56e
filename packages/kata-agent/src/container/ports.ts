import type { ExitStatus } from "@nacre/kata-sys-util";

/** Collects exits of processes that this process did not spawn itself; kata-sys-util's Reaper is one. */
export interface ExitWatcher {
  /**
   * Resolves when the process has ended and was reaped. Also for a process that ended before the call, as long as
   * nobody else watched it: a detached exec may be over before its pid is known here.
   */
  watch(pid: number): Promise<ExitStatus>;
}

/** Bytes that come from a process; kata-sys-util's FdReader is one. Nothing is read before somebody asks. */
export interface ByteSource {
  /**
   * At least one and at most `max` bytes; null at the end, and once closed. What is there already is delivered at once.
   * When the signal aborts it rejects with the reason, and no byte is lost.
   */
  read(max: number, signal: AbortSignal): Promise<Uint8Array | null>;
  close(): void;
}

/** Bytes that go to a process; kata-sys-util's FdWriter is one. */
export interface ByteSink {
  /** Resolves once all bytes are taken. When the signal aborts in between, some were. */
  write(bytes: Uint8Array, signal: AbortSignal): Promise<void>;
  /** Closes once the writes before it are through. */
  end(): Promise<void>;
  close(): void;
}

/** The guest's ends of a process's streams. With a terminal there is no stderr, and stdin and stdout are one device. */
export interface ProcessStreams {
  readonly stdin: ByteSink;
  readonly stdout: ByteSource;
  readonly stderr: ByteSource | undefined;
  /** Present with a terminal only. */
  readonly resize: ((rows: number, columns: number) => void) | undefined;
  close(): void;
}

/** Streams on their way to a process that a runtime is about to create. */
export interface PreparedIo {
  /** What the runtime's own stdio is; the container's first process inherits it. */
  readonly stdio: readonly ["ignore" | number, "ignore" | number, "ignore" | number];
  /** Path of the socket on which the runtime sends the terminal, if one was asked for. */
  readonly consoleSocket: string | undefined;
  /** Closes the process's ends here; must be called once the runtime has been spawned. */
  release(): void;
  /** The guest's ends. With a terminal it waits for the runtime to send it. */
  connect(signal: AbortSignal): Promise<ProcessStreams>;
  /** Closes everything that is still open; for the way out after a failure. */
  abandon(): void;
}

/** Makes streams. */
export interface IoFactory {
  pipes(): PreparedIo;
  terminal(): Promise<PreparedIo>;
}

/** A process held by a pidfd: the number cannot come to mean another process (spec 3.8). */
export interface ProcessHandle {
  /** Sends a signal; false when the process has ended. Throws the system's error for a number that is no signal. */
  send(signal: number): boolean;
  close(): void;
}

/** What containers ask of the kernel beside files. */
export interface ProcessPort {
  open(pid: number): ProcessHandle;
  /** Text of /proc/PID/status, or undefined when the process has ended. Never of the middle of an execve(2). */
  status(pid: number): string | undefined;
  /** What tells the file of the running program from others, or undefined when the process has ended. */
  program(pid: number): string | undefined;
}

/** Tells of processes killed for want of memory in one container. */
export interface OomWatch {
  close(): void;
}
