import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Hypervisor } from "@nacre/protocols";
import { TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { identityOf } from "../../src/guest/identity.ts";
import { takeOwnership } from "../../src/hypervisor/owner.ts";
import { type HypervisorServer, serveHypervisor } from "../../src/hypervisor/serve.ts";
import { FakeMachine } from "./fake-machine.ts";

const { CreateVM, StartVM, StopVM, Version } = Hypervisor.methods;

let folder: string;
let machine: FakeMachine;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "nacre-serve-"));
  machine = new FakeMachine();
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const serve = (): Promise<HypervisorServer> =>
  serveHypervisor({
    machine,
    stateRoot: join(folder, "state"),
    socket: join(folder, "peerpod/hypervisor.sock"),
    version: "9.9.9",
    maxGuests: 4,
  });

/** One call on a connection of its own, as the runtime makes it. */
async function call<T>(socket: string, work: (client: TtrpcClient) => Promise<T>): Promise<T> {
  const client = new TtrpcClient(await dial(`unix://${socket}`));
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

describe("serveHypervisor", () => {
  it("answers each call on a connection of its own, and takes its socket away at the end", async () => {
    const server = await serve();
    expect(statSync(server.socket).mode & 0o777).toBe(0o600);
    expect(await call(server.socket, (client) => client.call(Version, { version: "" }))).toEqual({ version: "9.9.9" });
    const { agentSocketPath } = await call(server.socket, (client) =>
      client.call(CreateVM, { id: "one", annotations: {}, networkNamespacePath: "" }),
    );
    expect(agentSocketPath).toMatch(/^\/run\/nacre\/guests\/[0-9a-f]{8}\/vsock\/1024\.sock$/u);
    await call(server.socket, (client) => client.call(StartVM, { id: "one" }));
    await call(server.socket, (client) => client.call(StopVM, { id: "one" }));
    await expect(call(server.socket, (client) => client.call(StartVM, { id: "one" }))).rejects.toThrow("StartVM: no");
    await server.close();
    expect(existsSync(server.socket)).toBe(false);
  });

  it("is one at a time for its state", async () => {
    const first = await serve();
    await expect(serve()).rejects.toThrow(`process ${process.pid} serves here already`);
    await first.close();
    await (await serve()).close();
  });

  it("does not take another server's socket, and gives its state back", async () => {
    const first = await serve();
    const other = serveHypervisor({
      machine,
      stateRoot: join(folder, "other"),
      socket: first.socket,
      version: "1",
      maxGuests: 1,
    });
    await expect(other).rejects.toThrow("another server answers there");
    expect(existsSync(join(folder, "other/hypervisor/owner.json"))).toBe(false);
    expect(await call(first.socket, (client) => client.call(Version, { version: "" }))).toEqual({ version: "9.9.9" });
    await first.close();
  });

  it("refuses a state folder whose sockets no runtime can dial", async () => {
    const at = (stateRoot: string) => serveHypervisor({ machine, stateRoot, version: "1", maxGuests: 1 });
    await expect(at(join(folder, "a:b"))).rejects.toThrow("as the runtime makes a URL of it");
    machine.agentSocket = (guest) => `/${"x".repeat(100)}/${guest}`;
    await expect(at(folder)).rejects.toThrow("expected a shorter path");
  });
});

describe("takeOwnership", () => {
  it("takes over from a process that is gone, and from a file that is none", async () => {
    const file = join(folder, "owner.json");
    const child = spawn(process.execPath, ["-e", "process.stdin.resume()"], { stdio: ["pipe", "ignore", "ignore"] });
    await once(child, "spawn");
    writeFileSync(file, JSON.stringify(identityOf(child.pid ?? 0)));
    expect(() => takeOwnership(file)).toThrow(`process ${child.pid} serves here already`);
    child.stdin.end();
    await once(child, "exit");
    takeOwnership(file)[Symbol.dispose]();
    expect(existsSync(file)).toBe(false);
    writeFileSync(file, "{");
    takeOwnership(file)[Symbol.dispose]();
    expect(existsSync(file)).toBe(false);
  });
});
