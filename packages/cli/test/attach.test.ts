import { PassThrough, Writable } from "node:stream";
import { AgentService, Code } from "@nacre/protocols";
import { type Handlers, RpcError, TtrpcServer } from "@nacre/ttrpc";
import { listen, type Listener } from "@nacre/vsock";
import { afterEach, describe, expect, it } from "vitest";
import { Agent } from "../src/agent.ts";
import { attach } from "../src/attach.ts";

const IDS = { container_id: "c", exec_id: "e" };

/** An agent with one process, whose methods the test gives. */
describe("attach", () => {
  let listener: Listener | undefined;
  let agent: Agent | undefined;
  const connect = async (handlers: Handlers<typeof AgentService>): Promise<Agent> => {
    const server = new TtrpcServer().addService(AgentService, handlers);
    listener = await listen(`unix://@nacre-attach-${process.pid}`, (transport) => server.serve(transport));
    return (agent = await Agent.connect(listener.address));
  };
  afterEach(async () => {
    agent?.[Symbol.dispose]();
    await listener?.close();
  });

  /** Answers reads from a list, then with the end. */
  const reads = (...texts: string[]) => {
    const left = [...texts];
    return () => ({ data: Buffer.from(left.shift() ?? "") });
  };

  it("copies both outputs to their end before it collects the status", async () => {
    const order: string[] = [];
    const connected = await connect({
      ReadStdout: reads("one\n", "two\n"),
      ReadStderr: reads("warning\n"),
      CloseStdin: () => {
        order.push("input closed");
        return {};
      },
      WaitProcess: () => {
        order.push("waited");
        return { status: 3 };
      },
    });
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    expect(await attach(connected, IDS, { stdout, stderr })).toBe(3);
    expect(String(stdout.read())).toBe("one\ntwo\n");
    expect(String(stderr.read())).toBe("warning\n");
    expect(order).toEqual(["input closed", "waited"]);
  });

  it("writes what the process did not take again, then the end", async () => {
    let taken = "";
    const ended = Promise.withResolvers<void>();
    const connected = await connect({
      WriteStdin: ({ data }) => {
        const part = Buffer.from(data).subarray(0, 3);
        taken += part.toString();
        return { len: part.length };
      },
      CloseStdin: () => {
        ended.resolve();
        return {};
      },
      ReadStdout: async () => {
        await ended.promise;
        return {};
      },
      ReadStderr: reads(),
      WaitProcess: () => ({ status: 0 }),
    });
    const stdin = new PassThrough();
    stdin.end("0123456789");
    await attach(connected, IDS, { stdin, stdout: new PassThrough(), stderr: new PassThrough() });
    expect(taken).toBe("0123456789");
  });

  it("does not wait for input when the process has ended", async () => {
    const connected = await connect({ ReadStdout: reads(), ReadStderr: reads(), WaitProcess: () => ({ status: 0 }) });
    const stdin = new PassThrough();
    expect(await attach(connected, IDS, { stdin, stdout: new PassThrough(), stderr: new PassThrough() })).toBe(0);
    expect(stdin.destroyed).toBe(true);
  });

  it("follows a terminal: its size at once and on change, one output, no end of input", async () => {
    const sizes: string[] = [];
    const resized = Promise.withResolvers<void>();
    const connected = await connect({
      TtyWinResize: ({ row, column }) => {
        sizes.push(`${row}x${column}`);
        if (sizes.length === 2) resized.resolve();
        return {};
      },
      ReadStdout: async () => {
        await resized.promise;
        throw new RpcError(Code.INTERNAL, "Input/output error (os error 5)");
      },
      WaitProcess: () => ({ status: 0 }),
    });
    let size = { rows: 24, columns: 80 };
    let watched = true;
    const screen = {
      size: () => size,
      watch: (changed: () => void) => {
        size = { rows: 40, columns: 120 };
        changed();
        return { [Symbol.dispose]: () => void (watched = false) };
      },
    };
    await attach(connected, IDS, { stdout: new PassThrough(), stderr: new PassThrough() }, screen);
    expect(sizes).toEqual(["24x80", "40x120"]);
    expect(watched).toBe(false);
  });

  it("goes on when nobody reads the output any more", async () => {
    const connected = await connect({
      ReadStdout: reads("a", "b", "c"),
      ReadStderr: reads(),
      CloseStdin: () => ({}),
      WaitProcess: () => ({ status: 0 }),
    });
    const gone = new Writable({ write: (_chunk, _encoding, done) => done(new Error("EPIPE")) });
    gone.on("error", () => {});
    expect(await attach(connected, IDS, { stdout: gone, stderr: new PassThrough() })).toBe(0);
  });

  it("rejects when the agent goes away", async () => {
    const connected = await connect({
      ReadStdout: reads("x"),
      ReadStderr: () => new Promise(() => {}),
      CloseStdin: () => ({}),
    });
    const attached = attach(connected, IDS, { stdout: new PassThrough(), stderr: new PassThrough() });
    connected[Symbol.dispose]();
    await expect(attached).rejects.toMatchObject({ code: "agent", status: Code.CANCELLED });
  });
});
