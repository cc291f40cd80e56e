import { once } from "node:events";
import type { Readable, Writable } from "node:stream";

import { AgentService, type grpc, type MethodDescriptor } from "@nacre/protocols";

import { type Agent, AgentRefusal } from "./agent.ts";
import type { ProcessIds } from "./pod.ts";

const { CloseStdin, ReadStderr, ReadStdout, TtyWinResize, WaitProcess, WriteStdin } = AgentService.methods;

/** Bytes of one read, as a runtime asks for them. */
const READ_LENGTH = 32_768;
/** Bytes of one write; far below the largest frame. */
const WRITE_LENGTH = 65_536;
/** How a read tells that a terminal's other side is closed. */
const TERMINAL_END = /os error 5/u;

/** What a process is attached to. */
export interface Streams {
  /** Absent: the process finds its input at its end. */
  readonly stdin?: Readable | undefined;
  readonly stdout: Writable;
  readonly stderr: Writable;
}

/** A terminal of ours that the process's follows. */
export interface Screen {
  size(): { readonly rows: number; readonly columns: number } | undefined;
  /** Calls back on each change until disposed of. */
  watch(changed: () => void): Disposable;
}

/**
 * Joins a started process to our streams and resolves with its exit status, when it has ended and its output is read.
 * The agent forgets a process with the collection of its status, so that comes last.
 */
export async function attach(agent: Agent, ids: ProcessIds, streams: Streams, screen?: Screen): Promise<number> {
  using _watch = screen === undefined ? undefined : follow(agent, ids, screen);
  // A terminal without a keyboard stays open, as one that nobody types on.
  const input = screen !== undefined && streams.stdin === undefined ? undefined : pumpInput(agent, ids, streams.stdin);
  try {
    await Promise.all([
      pumpOutput(agent, ReadStdout, ids, streams.stdout),
      // A terminal has one output.
      ...(screen === undefined ? [pumpOutput(agent, ReadStderr, ids, streams.stderr)] : []),
    ]);
    const { status } = await agent.call(WaitProcess, ids);
    return status;
  } finally {
    streams.stdin?.destroy();
    await input;
  }
}

async function pumpOutput(
  agent: Agent,
  method: MethodDescriptor<grpc.ReadStreamRequest, grpc.ReadStreamResponse>,
  ids: ProcessIds,
  to: Writable,
): Promise<void> {
  for (;;) {
    let data: Uint8Array;
    try {
      ({ data } = await agent.call(method, { ...ids, len: READ_LENGTH }));
    } catch (error) {
      if (error instanceof AgentRefusal && TERMINAL_END.test(error.text)) return;
      throw error;
    }
    if (data.length === 0) return;
    // Nobody reads any more: the process goes on, as one on a pipe that is drained.
    if (!to.writable) continue;
    if (!to.write(data)) await Promise.race([once(to, "drain"), once(to, "close")]).catch(() => undefined);
  }
}

/** Never rejects: a process that does not read, or has ended, is no failure of ours. */
async function pumpInput(agent: Agent, ids: ProcessIds, from: Readable | undefined): Promise<void> {
  try {
    for await (const chunk of from ?? []) {
      let rest = chunk as Uint8Array;
      while (rest.length > 0) {
        const { len } = await agent.call(WriteStdin, { ...ids, data: rest.subarray(0, WRITE_LENGTH) });
        rest = rest.subarray(len);
      }
    }
  } catch (error) {
    // The stream that was destroyed because the process has ended, or a refused write.
    if (!(error instanceof AgentRefusal)) return;
  }
  await agent.call(CloseStdin, ids).catch(() => undefined);
}

function follow(agent: Agent, ids: ProcessIds, screen: Screen): Disposable {
  const resize = (): void => {
    const size = screen.size();
    if (size === undefined) return;
    // A process that has just ended has no terminal to resize.
    agent.call(TtyWinResize, { ...ids, row: size.rows, column: size.columns }).catch(() => undefined);
  };
  resize();
  return screen.watch(resize);
}
