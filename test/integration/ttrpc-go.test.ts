import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AgentService, Code, encode, Health } from "@nacre/protocols";
import { type CallContext, type Clock, RpcError, TtrpcClient, TtrpcServer } from "@nacre/ttrpc";
import { dial, HybridVsock, type Listener, listen } from "@nacre/vsock";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FakeClock } from "../../packages/ttrpc/test/fake-clock.ts";
import { GoClient } from "../fixtures/go-client.ts";
import { GoServer } from "../fixtures/go-server.ts";
import { goPeer } from "../setup/go.ts";

const HEALTH = "grpc.Health";
const AGENT = "grpc.AgentService";
const HOUR_MS = 3_600_000;

let dir = "";
beforeAll(() => {
  goPeer();
  dir = mkdtempSync(join(tmpdir(), "nacre-ttrpc-"));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** A guest-like server; what each method does mirrors test/go/server.go. */
class Backend {
  readonly waiting: CallContext[] = [];
  /** Calls to WaitProcess by exec id: answers each. */
  readonly processes = new Map<string, () => void>();
  #wake: (() => void) | undefined;

  async waitingCalls(n: number): Promise<CallContext[]> {
    await this.#until(() => this.waiting.length >= n);
    return this.waiting;
  }

  async waitingProcesses(n: number): Promise<void> {
    await this.#until(() => this.processes.size >= n);
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  server(clock: Clock): TtrpcServer {
    return new TtrpcServer({ clock })
      .addService(Health, {
        Check: () => ({ status: 1 }),
        Version: () => ({ grpc_version: "ts", agent_version: "nacre" }),
      })
      .addService(AgentService, {
        SignalProcess: (r) => {
          throw new RpcError(r.signal as Code, `code ${r.signal} for ${r.container_id}`);
        },
        WriteStdin: (r) => ({ len: r.data.length }),
        ReadStdout: (r) => ({ data: Uint8Array.from({ length: r.len }, (_, i) => i) }),
        WaitProcess: (r) =>
          new Promise((resolve) => {
            this.processes.set(r.exec_id, () => resolve({ status: Number(r.exec_id) }));
            this.#wake?.();
          }),
        GetOOMEvent: (_r, ctx) => {
          this.waiting.push(ctx);
          this.#wake?.();
          return new Promise((_resolve, reject) => {
            ctx.signal.addEventListener("abort", () => reject(ctx.signal.reason as Error));
          });
        },
        GetMetrics: (_r, ctx) => ({
          metrics: JSON.stringify({
            metadata: Object.fromEntries(ctx.metadata),
            timeout: ctx.deadline === undefined ? 0 : Math.sign(ctx.deadline - Date.now()),
          }),
        }),
      });
  }
}

describe.each(["unix", "abstract", "hybrid", "tcp"])("the Go client and our server over %s", (kind) => {
  const backend = new Backend();
  const clock = new FakeClock();
  const server = backend.server(clock);
  let listener: Listener;
  let hybrid: HybridVsock | undefined;
  let go: GoClient;
  let address = "";

  beforeAll(async () => {
    const at = {
      unix: `unix://${dir}/ours.sock`,
      abstract: `unix://@nacre-ttrpc-${process.pid}`,
      hybrid: `unix://${dir}/port.sock`,
      tcp: "tcp://127.0.0.1:0",
    }[kind] as string;
    listener = await listen(at, (t) => server.serve(t));
    address = listener.address;
    if (kind === "hybrid") {
      hybrid = await HybridVsock.listen(`${dir}/hybrid.sock`, (port) => (port === 1024 ? at : undefined));
      address = `hvsock://${dir}/hybrid.sock:1024`;
    }
    go = await GoClient.connect(address);
  });
  afterAll(async () => {
    await go.close();
    await hybrid?.close();
    await listener.close();
    await server.close({ graceMs: 1000 });
    expect(server.connections.size).toBe(0);
  });

  it("calls and answers", async () => {
    expect(await go.call(HEALTH, "Check")).toEqual({ status: "SERVING" });
    expect(await go.call(HEALTH, "Version", { service: "x" })).toEqual({ grpc_version: "ts", agent_version: "nacre" });
  });

  it("carries every code and its text", async () => {
    for (const code of Object.values(Code).filter((c) => c !== Code.OK)) {
      await expect(go.call(AGENT, "SignalProcess", { container_id: "ü", signal: code })).rejects.toMatchObject({
        code,
        message: `code ${code} for ü`,
      });
    }
  });

  it("refuses as the Rust agent does", async () => {
    const refused = (call: Promise<unknown>, code: number, message: string) =>
      expect(call).rejects.toMatchObject({ code, message });
    await refused(go.callRaw(AGENT, "NoSuchMethod", Buffer.alloc(0)), 12, "NoSuchMethod method");
    await refused(go.callRaw("grpc.No", "Check", Buffer.alloc(0)), 3, "grpc.No service does not exist");
    await refused(go.call(AGENT, "StartContainer", { container_id: "c" }), 12, "StartContainer method");
    const undecodable = (hex: string) => go.callRaw(AGENT, "SignalProcess", Buffer.from(hex, "hex"));
    await refused(undecodable("ffffffffff"), 2, "ttrpc err: Incorrect varint");
    await refused(undecodable("0a10616263"), 2, "ttrpc err: Unexpected EOF");
    await refused(undecodable("0a02fffe"), 2, "ttrpc err: Invalid UTF-8 sequence");
    expect((await go.callRaw(HEALTH, "Check", encode("grpc.CheckRequest", { service: "raw" }))).toString("hex")).toBe(
      "0801",
    );
  });

  it("carries big messages both ways", async () => {
    const data = Buffer.alloc(3 << 20, 0xab);
    expect(await go.call(AGENT, "WriteStdin", { data: data.toString("base64") })).toEqual({ len: data.length });
    const read = await go.call<{ data: string }>(AGENT, "ReadStdout", { len: 3 << 20 });
    const bytes = Buffer.from(read.data, "base64");
    expect(bytes.length).toBe(3 << 20);
    expect(bytes.every((b, i) => b === i % 256)).toBe(true);
  });

  it("refuses a reply above 4 MiB, not the connection", async () => {
    await expect(go.call(AGENT, "ReadStdout", { len: 4 << 20 })).rejects.toMatchObject({
      code: Code.RESOURCE_EXHAUSTED,
      message: expect.stringContaining("exceed maximum message size of 4194304") as string,
    });
    expect(await go.call(HEALTH, "Check")).toEqual({ status: "SERVING" });
  });

  it("answers out of order", async () => {
    const order: string[] = [];
    const calls = new Map(
      ["11", "12", "13"].map((exec_id) => {
        const reply = go.call(AGENT, "WaitProcess", { exec_id });
        return [exec_id, reply.finally(() => order.push(exec_id))];
      }),
    );
    await backend.waitingProcesses(3);
    for (const exec_id of ["13", "11", "12"]) {
      backend.processes.get(exec_id)?.();
      expect(await calls.get(exec_id)).toEqual({ status: Number(exec_id) });
    }
    expect(order).toEqual(["13", "11", "12"]);
  });

  it("bears a thousand calls at once", async () => {
    const calls = Array.from({ length: 1000 }, (_, i) =>
      i % 2 === 0
        ? go.call(AGENT, "WriteStdin", { data: Buffer.alloc(i).toString("base64") })
        : go.call(AGENT, "ReadStdout", { len: i }),
    );
    const replies = await Promise.all(calls);
    expect(replies[998]).toEqual({ len: 998 });
    expect(Buffer.from(replies[999]?.["data"] as string, "base64").length).toBe(999);
  });

  it("gets metadata and time-out", async () => {
    const metadata = { "containerd-namespace-ttrpc": ["k8s.io"], two: ["a", "b"] };
    const reply = await go.call<{ metrics: string }>(AGENT, "GetMetrics", {}, { metadata, timeoutMs: 60_000 });
    expect(JSON.parse(reply.metrics)).toEqual({ metadata, timeout: 1 });
    const plain = await go.call<{ metrics: string }>(AGENT, "GetMetrics");
    expect(JSON.parse(plain.metrics)).toEqual({ metadata: {}, timeout: 0 });
  });

  it("times out and cancels", async () => {
    // Go's own, which may be over before the request goes out; what goes out is here before the next answer.
    await expect(go.call(AGENT, "GetOOMEvent", {}, { timeoutMs: 50 })).rejects.toMatchObject({ code: 4 });
    await go.call(HEALTH, "Check");
    // Ours, by a clock that is ahead of Go's: it aborts the handler, too.
    const before = backend.waiting.length;
    const call = go.call(AGENT, "GetOOMEvent", {}, { timeoutMs: HOUR_MS });
    const expired = expect(call).rejects.toMatchObject({ code: 4, message: "timeout" });
    const [context] = (await backend.waitingCalls(before + 1)).slice(before);
    clock.advance(HOUR_MS);
    await expired;
    expect(context?.signal.reason).toMatchObject({ code: Code.DEADLINE_EXCEEDED, message: "timeout" });

    const controller = new AbortController();
    const given = go.call(AGENT, "GetOOMEvent", {}, { signal: controller.signal });
    await backend.waitingCalls(before + 2);
    controller.abort();
    await expect(given).rejects.toMatchObject({ code: 1 });
    expect(await go.call(HEALTH, "Check")).toEqual({ status: "SERVING" });
  });

  it("is missed when it vanishes in the middle of a call: the handler is aborted", async () => {
    const before = backend.waiting.length;
    const other = await GoClient.connect(address);
    const call = other.call(AGENT, "GetOOMEvent").catch((e: Error) => e.message);
    const context = (await backend.waitingCalls(before + 1)).at(-1) as CallContext;
    const aborted = once(context.signal, "abort");
    await other.kill();
    await aborted;
    expect(await call).toContain("the Go client ended");
  });
});

describe("our client and the Go server", () => {
  let server: GoServer;
  let client: TtrpcClient;

  beforeAll(async () => {
    server = await GoServer.start(`unix://${dir}/go.sock`);
    client = new TtrpcClient(await dial(`unix://${dir}/go.sock`));
  });
  afterAll(async () => {
    client.close();
    await client.closed;
    await server.stop();
  });

  const agent = AgentService.methods;

  it("call and answer", async () => {
    expect(await client.call(Health.methods.Check, {})).toEqual({ status: 1 });
    expect(await client.call(Health.methods.Version, {})).toEqual({ grpc_version: "go", agent_version: "ttrpc-peer" });
  });

  it("carry every code and its text", async () => {
    for (const code of Object.values(Code).filter((c) => c !== Code.OK)) {
      await expect(client.call(agent.SignalProcess, { container_id: "ü", signal: code })).rejects.toMatchObject({
        code,
        message: `code ${code} for ü`,
      });
    }
    await expect(client.call(agent.StartContainer, {})).rejects.toMatchObject({ code: Code.UNIMPLEMENTED });
  });

  it("carry big messages both ways", async () => {
    expect(await client.call(agent.WriteStdin, { data: new Uint8Array(4_000_000) })).toEqual({ len: 4_000_000 });
    const { data } = await client.call(agent.ReadStdout, { len: 4_000_000 });
    expect(data.length).toBe(4_000_000);
    expect(data[3_999_999]).toBe(3_999_999 % 256);
  });

  it("answer out of order and bear many calls at once", async () => {
    const order: number[] = [];
    const waits = [1, 2, 3, 4].map(async (exec_id) => {
      const { status } = await client.call(agent.WaitProcess, { exec_id: `${exec_id}` });
      order.push(status);
    });
    for (const exec_id of [4, 2, 1, 3]) {
      await client.call(agent.CloseStdin, { exec_id: `${exec_id}` });
      await waits[exec_id - 1];
    }
    expect(order).toEqual([4, 2, 1, 3]);
    const many = await Promise.all(Array.from({ length: 1000 }, (_, i) => client.call(agent.ReadStdout, { len: i })));
    expect(many.map((r) => r.data.length)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    expect(client.inFlight).toBe(0);
  });

  it("carry metadata and time-out", async () => {
    const metadata = new Map([
      ["traceparent", ["00-1"]],
      ["two", ["a", "b"]],
    ]);
    const { metrics } = await client.call(agent.GetMetrics, {}, { metadata, timeoutMs: 60_000 });
    const seen = JSON.parse(metrics) as { metadata: unknown; timeout_ms: number };
    expect(seen.metadata).toEqual(Object.fromEntries(metadata));
    expect(seen.timeout_ms).toBeGreaterThan(0);
    expect(seen.timeout_ms).toBeLessThanOrEqual(60_000);
  });

  it("time out and give up", async () => {
    await expect(client.call(agent.GetOOMEvent, {}, { timeoutMs: 30 })).rejects.toMatchObject({
      code: Code.DEADLINE_EXCEEDED,
    });
    const controller = new AbortController();
    const call = client.call(agent.GetOOMEvent, {}, { signal: controller.signal });
    controller.abort();
    await expect(call).rejects.toMatchObject({ code: Code.CANCELLED });
    expect(await client.call(Health.methods.Check, {})).toEqual({ status: 1 });
  });

  it("tell a lost server", async () => {
    const other = await GoServer.start(`unix://${dir}/lost.sock`);
    const lonely = new TtrpcClient(await dial(`unix://${dir}/lost.sock`));
    expect(await lonely.call(Health.methods.Check, {})).toEqual({ status: 1 });
    const call = lonely.call(agent.GetOOMEvent, {});
    const failed = expect(call).rejects.toMatchObject({ code: Code.UNAVAILABLE });
    await other.stop();
    await failed;
    await lonely.closed;
  });
});
