import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { DebugServer } from "../../src/inspect/debug-server.ts";
import { DebuggerClient } from "./debugger-client.ts";

let folder: string;
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "nacre-debug-"))));
afterAll(() => rmSync(folder, { recursive: true }));

const children: ChildProcess[] = [];
const servers: DebugServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
  for (const child of children.splice(0)) {
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  }
});

const socketOf = (name: string): string => `unix://${folder}/${name}/9229.sock`;

/** Starts a daemon with its debugger on a socket of that name; resolves with what it has written to standard output. */
function daemon(name: string, parameters: string): { runs: Promise<unknown> } {
  const child = spawn(
    process.execPath,
    [
      "--conditions=source",
      "--disable-warning=ExperimentalWarning",
      "--disable-sigusr1",
      join(import.meta.dirname, "debugged.ts"),
      `agent.server_addr=unix://${folder}/${name}/1024.sock ${parameters}`,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  children.push(child);
  return { runs: once(child.stdout, "data") };
}

async function server(name: string): Promise<DebugServer> {
  const made = await DebugServer.listen({ daemon: "kata-agent", guestAddress: socketOf(name), sourceMaps: folder });
  servers.push(made);
  return made;
}

/** Answers of the server to a GET, with a Host of the test's choice. */
async function get(host: string, path: string, headers: Record<string, string> = {}): Promise<[number, string]> {
  const sent = request(`http://${host}${path}`, { headers });
  sent.end();
  const [response] = (await once(sent, "response")) as [IncomingMessage];
  let body = "";
  for await (const chunk of response.setEncoding("utf8")) body += String(chunk);
  return [response.statusCode ?? 0, body];
}

describe("a daemon's debugger", () => {
  it("evaluates, stops the daemon and lets it go on, again and again; two debuggers at a time", async () => {
    mkdirSync(join(folder, "a"));
    const { runs } = daemon("a", "nacre.inspect=kata-agent");
    await runs;
    const { url } = await server("a");
    const [one, two] = [await DebuggerClient.connect(url), await DebuggerClient.connect(url)];
    expect(await one.evaluate("state.rounds >= 0")).toBe(true);
    expect(await two.post("No.such")).toMatchObject({
      error: { code: -32601, message: expect.stringContaining("No.such") },
    });
    for (let round = 0; round < 3; round += 1) {
      await one.post("Debugger.enable");
      await one.post("Debugger.pause");
      const { params = {} } = await one.event("Debugger.paused");
      const [frame] = params["callFrames"] as { callFrameId: string }[];
      const { result } = await one.post("Debugger.evaluateOnCallFrame", {
        callFrameId: frame?.callFrameId,
        expression: "globalThis.state.rounds",
        returnByValue: true,
      });
      const { value } = valueOf(result);
      // It stands: the other debugger sees the same, as often as it asks.
      expect([await two.evaluate("state.rounds"), await two.evaluate("state.rounds")]).toEqual([value, value]);
      await one.post("Debugger.resume");
      await one.event("Debugger.resumed");
    }
    one.close();
    await one.closed;
    expect(await two.evaluate("state.rounds > 0")).toBe(true);
    two.close();
  });

  it("waits for a debugger where that was asked for, and then stands at its first statement", async () => {
    mkdirSync(join(folder, "b"));
    const { runs } = daemon("b", "nacre.inspect=kata-agent nacre.inspect.wait");
    let running = false;
    void runs.then(() => (running = true));
    const { url } = await server("b");
    const client = await connected(url);
    expect(await client.evaluate("typeof state")).toBe("undefined");
    await client.post("Debugger.enable");
    await client.post("Runtime.runIfWaitingForDebugger");
    await client.event("Debugger.paused");
    expect(running).toBe(false);
    await client.post("Debugger.resume");
    await runs;
    client.close();
  });

  it("is not there for a daemon that is not named, and a debugger is told so", async () => {
    mkdirSync(join(folder, "c"));
    const { runs } = daemon("c", "nacre.inspect=nvrc");
    await runs;
    const client = await DebuggerClient.connect((await server("c")).url);
    expect(await client.closed).toMatchObject({
      code: 1013,
      reason: expect.stringMatching(/^kata-agent offers no debugger/u),
    });
  });

  it("drops whoever sends what is no command, and goes on", async () => {
    mkdirSync(join(folder, "d"));
    const { runs } = daemon("d", "nacre.inspect=kata-agent");
    await runs;
    for (const text of [
      "{",
      "null",
      "[]",
      '{"id":"1","method":"x"}',
      '{"id":1}',
      '{"id":1,"method":"x","params":3}',
      "\0",
    ]) {
      const socket = connect(socketOf("d").slice("unix://".length));
      socket.end(`${text}\n`);
      let answer = "";
      for await (const chunk of socket.setEncoding("utf8")) answer += String(chunk);
      expect([text, answer]).toEqual([text, ""]);
    }
    const client = await DebuggerClient.connect((await server("d")).url);
    expect(await client.evaluate("state.rounds >= 0")).toBe(true);
    client.close();
  });
});

function valueOf(result: Readonly<Record<string, unknown>> = {}): { value?: unknown } {
  return result["result"] as { value?: unknown };
}

/** The daemon needs a moment to offer its port: each refusal is told, and another try is made. */
async function connected(url: string): Promise<DebuggerClient> {
  for (;;) {
    const client = await DebuggerClient.connect(url);
    const first = await Promise.race([client.closed, client.evaluate("1")]);
    if (first === 1) return client;
  }
}

describe("the debugger's address on the host", () => {
  const SOURCES = JSON.stringify({ version: 3, sources: ["../packages/x/main.ts"], mappings: "" });

  it("gives a bundle's script the source map, with the files of this machine", async () => {
    writeFileSync(join(folder, "kata-agent.mjs.map"), SOURCES);
    const guest = createServer((socket) => {
      for (const url of ["file:///usr/lib/nacre/kata-agent.mjs", "node:fs", "file:///usr/lib/nacre/../x.mjs"]) {
        socket.write(
          `${JSON.stringify({ method: "Debugger.scriptParsed", params: { scriptId: "1", url, sourceMapURL: "" } })}\n`,
        );
      }
      socket.end("not JSON\n");
    });
    guest.listen(join(folder, "fake.sock"));
    const made = await DebugServer.listen({
      daemon: "kata-agent",
      guestAddress: `unix://${folder}/fake.sock`,
      sourceMaps: folder,
    });
    servers.push(made);
    const seen: string[] = [];
    const socket = new WebSocket(made.url);
    socket.addEventListener("message", ({ data }) => seen.push(String(data)));
    await once(socket, "close");
    guest.close();
    const maps = seen.map((text) => /"sourceMapURL":"([^"]*)"/u.exec(text)?.[1]);
    expect(maps).toEqual([
      expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/[-0-9a-f]{36}\/kata-agent\.mjs\.map$/u),
      "",
      "",
      undefined,
    ]);
    const { pathname } = new URL(maps[0] ?? "");
    const [status, body] = await get(made.host, pathname);
    expect(status).toBe(200);
    expect(JSON.parse(body)).toMatchObject({ sources: [`file://${join(folder, "../packages/x/main.ts")}`] });
  });

  it("lists itself, and has nothing for guesses, other paths and names that were made to point here", async () => {
    writeFileSync(join(folder, "secret.map"), SOURCES);
    const made = await server("none");
    const [, list] = await get(made.host, "/json/list");
    expect(JSON.parse(list)).toMatchObject([{ type: "node", title: "kata-agent", webSocketDebuggerUrl: made.url }]);
    const id = new URL(made.url).pathname;
    for (const path of [
      "/",
      "/json/new",
      `${id}/none.mjs.map`,
      `${id}/../secret.map`,
      `${id}/secret.map`,
      "/x/kata-agent.mjs.map",
    ]) {
      expect([path, (await get(made.host, path))[0]]).toEqual([path, 404]);
    }
    expect((await get(made.host, "/json/list", { host: "evil.example" }))[0]).toBe(400);
    const guess = new WebSocket(made.url.replace(/[^/]+$/u, "00000000-0000-0000-0000-000000000000"));
    await once(guess, "error");
  });
});
