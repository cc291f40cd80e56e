import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { EXIT_GRACE_MS, Process } from "../../src/container/process.ts";
import { FakeStreams } from "./fakes.ts";

const never = new AbortController().signal;

function make(options: { terminal?: boolean } = {}): {
  process: Process;
  streams: FakeStreams;
  exit: (status: number) => Promise<void>;
  sent: number[];
  state: { closed: boolean };
} {
  const streams = new FakeStreams(options);
  const { promise, resolve } = Promise.withResolvers<number>();
  const sent: number[] = [];
  const state = { closed: false };
  const process = new Process({
    pid: 42,
    execId: "e1",
    handle: {
      send: (signal) => {
        if (signal === 99) throw Object.assign(new Error("kill EINVAL"), { code: "EINVAL" });
        sent.push(signal);
        return true;
      },
      close: () => {
        state.closed = true;
      },
    },
    streams,
    exited: promise,
  });
  const exit = async (status: number): Promise<void> => {
    resolve(status);
    await process.exited;
  };
  return { process, streams, exit, sent, state };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("Process", () => {
  it("ends a read when the time to drain after the exit is over", async () => {
    const { process, exit } = make();
    const reading = process.readStdout(10, never);
    await exit(0);
    await vi.advanceTimersByTimeAsync(EXIT_GRACE_MS);
    expect(await reading).toHaveLength(0);
  });

  it("still delivers what was written before, however late it is asked for", async () => {
    const { process, streams, exit } = make();
    await exit(0);
    await vi.advanceTimersByTimeAsync(EXIT_GRACE_MS * 10);
    streams.stdout.push("late");
    expect(Buffer.from(await process.readStdout(10, never)).toString()).toBe("late");
    expect(await process.readStdout(10, never)).toHaveLength(0);
  });

  it("gives a reader that goes away its own reason, not the end", async () => {
    const { process, streams } = make();
    const gone = new AbortController();
    const reading = process.readStdout(10, gone.signal);
    gone.abort(new Error("client gone"));
    await expect(reading).rejects.toThrow("client gone");
    streams.stdout.push("kept");
    expect(Buffer.from(await process.readStdout(10, never)).toString()).toBe("kept");
  });

  it("ends readers when it is closed", async () => {
    const { process, streams } = make();
    const reading = process.readStdout(10, never);
    process.close();
    process.close();
    expect(await reading).toHaveLength(0);
    expect(streams.closes).toBe(1);
    expect(await process.readStderr(10, never)).toHaveLength(0);
    await expect(process.writeStdin(Buffer.from("x"), never)).rejects.toThrow("Cannot get writer");
  });

  it("words the errors of a write as the real agent does", async () => {
    const { process, streams } = make();
    streams.stdin.fail = Object.assign(new Error("write: EPIPE"), { code: "EPIPE" });
    await expect(process.writeStdin(Buffer.from("x"), never)).rejects.toThrow("Broken pipe (os error 32)");
    streams.stdin.fail = Object.assign(new Error("write: EBADF"), { code: "EBADF" });
    await expect(process.writeStdin(Buffer.from("x"), never)).rejects.toThrow("Cannot get writer");
    streams.stdin.fail = new Error("other");
    await expect(process.writeStdin(Buffer.from("x"), never)).rejects.toThrow("other");
  });

  it("closes its input once, by an empty write or by name", async () => {
    const { process, streams } = make();
    expect(await process.writeStdin(Buffer.from("abc"), never)).toBe(3);
    expect(await process.writeStdin(new Uint8Array(0), never)).toBe(0);
    process.closeStdin();
    expect(streams.stdin.written).toBe("abc");
    expect(streams.stdin.ends).toBe(1);
  });

  it("types the end of a terminal's input, once", async () => {
    const { process, streams } = make({ terminal: true });
    expect(await process.writeStdin(new Uint8Array(0), never)).toBe(0);
    await process.endStdin(never);
    expect(streams.stdin.written).toBe("\x04");
    expect(streams.stdin.ends).toBe(1);
    const gone = make({ terminal: true });
    gone.streams.stdin.fail = Object.assign(new Error("write: EIO"), { code: "EIO" });
    await gone.process.endStdin(never);
    expect(gone.streams.stdin.ends).toBe(1);
  });

  it("says that a terminal has ended, but not one that was closed here", async () => {
    const { process, streams } = make({ terminal: true });
    streams.stdout.end();
    await expect(process.readStdout(1, never)).rejects.toThrow("Input/output error (os error 5)");
    expect(await process.readStderr(1, never)).toHaveLength(0);
    process.close();
    expect(await process.readStdout(1, never)).toHaveLength(0);
  });

  it("cuts a terminal's size to 16 bits", () => {
    const { process, streams } = make({ terminal: true });
    process.resize(70_000, 24);
    expect(streams.sizes).toEqual([[4464, 24]]);
    expect(() => make().process.resize(1, 1)).toThrow('"no tty"');
  });

  it("signals until the end and then only seems to", async () => {
    const { process, sent, exit, state } = make();
    process.signal(15);
    expect(() => process.signal(99)).toThrow("EINVAL: Invalid argument");
    await exit(143);
    process.signal(9);
    expect(sent).toEqual([15]);
    expect(process.status).toBe(143);
    expect(state.closed).toBe(true);
  });
});
