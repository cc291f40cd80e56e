import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Health } from "@nacre/protocols";
import { TtrpcClient, TtrpcServer } from "@nacre/ttrpc";
import { dial, type Listener, listen } from "@nacre/vsock";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { frameBytes, requestBytes } from "../../packages/ttrpc/test/peer.ts";
import { Random } from "../../packages/ttrpc/test/random.ts";

/** What a hostile or broken peer does to a server on a real socket. */
describe("a server on a unix socket", () => {
  const waiting: AbortSignal[] = [];
  const server = new TtrpcServer({ limits: { maxUnsentBytes: 4 << 20 } }).addService(Health, {
    Check: () => ({ status: 1 }),
    Version: (_r, ctx) => {
      waiting.push(ctx.signal);
      return new Promise((_resolve, reject) => {
        ctx.signal.addEventListener("abort", () => reject(ctx.signal.reason as Error));
      });
    },
  });
  const dir = mkdtempSync(join(tmpdir(), "nacre-hostile-"));
  const path = join(dir, "s.sock");
  /** Called when the server stops reading from a connection. */
  let paused = (): void => {};
  let listener: Listener;

  beforeAll(async () => {
    listener = await listen(`unix://${path}`, (t) => {
      const pause = t.pause.bind(t);
      t.pause = (): void => {
        pause();
        paused();
      };
      server.serve(t);
    });
  });
  afterAll(async () => {
    await listener.close();
    await server.close({ graceMs: 100 });
    rmSync(dir, { recursive: true });
  });

  const request = (id: number, name: string): Uint8Array =>
    frameBytes(id, 1, requestBytes({ service: "grpc.Health", name }, ""));

  async function open(): Promise<Socket> {
    const socket = connect({ path, allowHalfOpen: true });
    socket.on("error", () => {});
    await once(socket, "connect");
    return socket;
  }

  /** All connections but one's own are gone: each tells when it closes. */
  async function idle(): Promise<void> {
    await Promise.all([...server.connections].map((c) => c.closed));
  }

  async function answers(): Promise<void> {
    const client = new TtrpcClient(await dial(`unix://${path}`));
    expect(await client.call(Health.methods.Check, {})).toEqual({ status: 1 });
    client.close();
    await client.closed;
    await idle();
  }

  it("bears garbage and abrupt ends (seeded), and keeps no descriptor", async () => {
    await answers();
    const before = readdirSync("/proc/self/fd").length;
    for (let seed = 1; seed <= 200; seed++) {
      const random = new Random(seed);
      const socket = await open();
      for (let i = random.int(6); i > 0; i--) {
        const bytes = Buffer.from(
          random.int(2) === 0 ? random.bytes(random.int(200)) : request(random.int(9), "Check"),
        );
        if (random.int(2) === 0 && bytes.length > 0) bytes[random.int(bytes.length)] = random.int(256);
        socket.write(bytes);
      }
      if (random.int(3) === 0) socket.destroy();
      else {
        socket.resume().end();
        await once(socket, "close");
      }
    }
    await answers();
    expect(server.connections.size).toBe(0);
    expect(readdirSync("/proc/self/fd").length).toBe(before);
  });

  it("aborts what a client left waiting when it vanished", async () => {
    const socket = await open();
    socket.write(request(1, "Version"));
    socket.write(request(3, "Check"));
    await once(socket, "data");
    const signal = waiting.at(-1) as AbortSignal;
    socket.destroy();
    await once(signal, "abort");
    await answers();
  });

  it("does not grow for a client that asks and never reads", async () => {
    const socket = await open();
    socket.pause();
    const chunk = Buffer.concat(Array.from({ length: 2000 }, (_, i) => request(2 * i + 1, "Check")));
    // The server stops reading once its replies do not go out.
    const stop = new Promise<string>((resolve) => (paused = () => resolve("stopped")));
    let outcome = "";
    for (let i = 0; i < 1000 && outcome !== "stopped"; i++) {
      const write = new Promise<string>((resolve) => void socket.write(chunk, () => resolve("written")));
      outcome = await Promise.race([stop, write]);
    }
    expect(outcome).toBe("stopped");
    const [connection] = server.connections;
    expect(connection?.inFlight).toBe(0);
    socket.destroy();
    await connection?.closed;
    await answers();
  });
});
