import { PassThrough, Writable } from "node:stream";

import { type Agent } from "./agent.ts";
import { attach, type Streams } from "./attach.ts";
import { type Context, note } from "./context.ts";
import type { Pod, ProcessIds } from "./pod.ts";
import { rawInput, screenOf } from "./terminal.ts";

/** Output beyond this is left out of the JSON of a run; programs that want more read the streams. */
export const MAX_CAPTURED: number = 16 * 1024 * 1024;

/** How a process is attached. */
export interface SessionOptions {
  readonly interactive: boolean;
  readonly terminal: boolean;
}

/** What a process gave. The texts are there when JSON was asked for. */
export interface SessionResult {
  readonly status: number;
  readonly stdout?: string;
  readonly stderr?: string;
  readonly truncated?: true;
}

/** Attaches a started process to this command's streams until it ends; signals go to the process. */
export async function session(
  context: Context,
  agent: Agent,
  pod: Pod,
  ids: ProcessIds,
  options: SessionOptions,
): Promise<SessionResult> {
  const captured = context.json ? { stdout: new Capture(), stderr: new Capture() } : undefined;
  const streams: Streams = {
    // Given up at the end, which our own input must not be: its terminal is still to be set back.
    stdin: options.interactive ? context.stdin.pipe(new PassThrough()) : undefined,
    stdout: captured?.stdout ?? context.stdout,
    stderr: captured?.stderr ?? context.stderr,
  };
  let interrupted = false;
  using _signals = context.interrupts.forwardTo((signal) => {
    if (!interrupted) note(context, `${signal} goes to the process; once more kills it`);
    void pod.signal(ids, interrupted ? "SIGKILL" : signal);
    interrupted = true;
  });
  using _raw = options.terminal && options.interactive ? rawInput(context) : undefined;
  const status = await attach(agent, ids, streams, options.terminal ? screenOf(context) : undefined);
  if (captured === undefined) return { status };
  const truncated = captured.stdout.truncated || captured.stderr.truncated;
  return {
    status,
    stdout: captured.stdout.text(),
    stderr: captured.stderr.text(),
    ...(truncated ? { truncated: true } : {}),
  };
}

/** Keeps what is written to it. */
export class Capture extends Writable {
  readonly #chunks: Uint8Array[] = [];
  #length = 0;
  truncated = false;

  text(): string {
    return Buffer.concat(this.#chunks).toString("utf8");
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: () => void): void {
    const kept = chunk.subarray(0, MAX_CAPTURED - this.#length);
    this.truncated ||= kept.length < chunk.length;
    if (kept.length > 0) this.#chunks.push(kept);
    this.#length += kept.length;
    done();
  }
}
