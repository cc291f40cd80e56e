import type { ByteSink, ByteSource, PreparedIo, ProcessStreams } from "../../src/container/ports.ts";
import type { Logger, LogFields } from "../../src/log.ts";

/** A logger that keeps its lines: level, message and the values of `file`, `value`, where given. */
export function recordingLogger(): { logger: Logger; lines: string[] } {
  const lines: string[] = [];
  const log = (level: string, msg: string, fields: LogFields = {}): void => {
    const details = [fields["file"], fields["value"]].flatMap((value) => (typeof value === "string" ? [value] : []));
    lines.push([level, msg, ...details].join(" "));
  };
  const logger: Logger = {
    log,
    error: (msg, fields) => log("error", msg, fields),
    warning: (msg, fields) => log("warning", msg, fields),
    info: (msg, fields) => log("info", msg, fields),
    debug: (msg, fields) => log("debug", msg, fields),
    child: () => logger,
  };
  return { logger, lines };
}

/** Output that a test pushes; reads wait as on a pipe. */
export class FakeSource implements ByteSource {
  #chunks: Buffer[] = [];
  #ended = false;
  #wake: (() => void) | undefined;

  push(text: string): void {
    this.#chunks.push(Buffer.from(text));
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async read(max: number, signal: AbortSignal): Promise<Uint8Array | null> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        if (chunk.length > max) this.#chunks.unshift(chunk.subarray(max));
        return chunk.subarray(0, max);
      }
      if (this.#ended) return null;
      signal.throwIfAborted();
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      this.#wake = resolve;
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
      await promise;
    }
  }

  close(): void {
    this.end();
  }
}

/** Input that remembers what it got. */
export class FakeSink implements ByteSink {
  written = "";
  ends = 0;
  fail: Error | undefined;

  async write(bytes: Uint8Array): Promise<void> {
    if (this.fail !== undefined) throw this.fail;
    this.written += Buffer.from(bytes).toString();
  }

  async end(): Promise<void> {
    this.ends += 1;
  }

  close(): void {}
}

export class FakeStreams implements ProcessStreams {
  readonly stdin: FakeSink = new FakeSink();
  readonly stdout: FakeSource = new FakeSource();
  readonly stderr: FakeSource | undefined;
  readonly resize: ((rows: number, columns: number) => void) | undefined;
  readonly sizes: Array<readonly [number, number]> = [];
  closes = 0;

  constructor(options: { terminal?: boolean } = {}) {
    if (options.terminal === true) this.resize = (rows, columns) => this.sizes.push([rows, columns]);
    else this.stderr = new FakeSource();
  }

  close(): void {
    this.closes += 1;
    this.stdout.end();
    this.stderr?.end();
  }
}

/** Streams on their way, which remember what became of them. */
export class FakeIo implements PreparedIo {
  readonly stdio = ["ignore", "ignore", "ignore"] as const;
  readonly consoleSocket: string | undefined;
  readonly streams: FakeStreams;
  readonly calls: string[] = [];
  failConnect: Error | undefined;

  constructor(options: { terminal?: boolean } = {}) {
    this.consoleSocket = options.terminal === true ? "/tty/1" : undefined;
    this.streams = new FakeStreams(options);
  }

  release(): void {
    this.calls.push("release");
  }

  async connect(): Promise<ProcessStreams> {
    this.calls.push("connect");
    if (this.failConnect !== undefined) throw this.failConnect;
    return this.streams;
  }

  abandon(): void {
    this.calls.push("abandon");
  }
}
