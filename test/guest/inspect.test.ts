import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { DebuggerClient } from "../../packages/cli/test/inspect/debugger-client.ts";
import { NacreCommand } from "../fixtures/nacre-command.ts";

describe("nacre guest start --inspect", () => {
  let state: string;
  let nacre: NacreCommand;
  beforeAll(() => {
    state = mkdtempSync("/run/nacre-inspect-");
    nacre = new NacreCommand(state);
  });
  afterEach(() => nacre.run(["guest", "stop", "--all"]));
  afterAll(() => rmSync(state, { recursive: true, force: true }));

  it.each(["nvrc", "kata-agent", "attestation-agent", "confidential-data-hub"])(
    "opens %s, and only that, with its sources",
    async (daemon) => {
      const guest = await nacre.json<{ debugger: string }>(["guest", "start", "--json", "--inspect", daemon]);
      const client = await DebuggerClient.connect(guest.debugger);
      expect(await client.evaluate("process.argv[1]")).toMatch(new RegExp(`/${daemon}(?:\\.mjs)?$`, "u"));
      await client.post("Debugger.enable");
      const { params = {} } = await client.event("Debugger.scriptParsed", ({ url }) =>
        String(url).startsWith("file:///usr/lib/nacre/"),
      );
      expect(params["url"]).toBe(`file:///usr/lib/nacre/${daemon}.mjs`);
      const map = (await (await fetch(String(params["sourceMapURL"]))).json()) as { sources: string[] };
      const own = map.sources.filter((source) => source.includes("/packages/"));
      expect(own.length).toBeGreaterThan(5);
      // The map of this bundle, not of another of the same name.
      const entry = daemon === "nvrc" ? "nvrc/src/main-simulated.ts" : `${daemon}/src/main.ts`;
      expect(own.filter((source) => source.endsWith(`/packages/${entry}`))).toHaveLength(1);
      expect(own.filter((source) => !existsSync(fileURLToPath(source)))).toEqual([]);
      // It stands, and goes on.
      const stopped = client.post("Runtime.evaluate", { expression: "debugger" });
      await client.event("Debugger.paused");
      await client.post("Debugger.resume");
      await stopped;
      expect(await nacre.json(["rpc", "Check"])).toEqual({ status: "SERVING" });
      // Nothing listens where containers would see it, but for what is theirs: port 8006.
      const table = `process.getBuiltinModule("node:fs").readFileSync("/proc/net/tcp", "latin1")`;
      const listening = String(await client.evaluate(table))
        .split("\n")
        .filter((line) => / 0A /u.test(line));
      expect(listening.filter((line) => !line.includes("0100007F:1F46"))).toEqual([]);
      client.close();
    },
  );

  it("with --inspect-brk init stands before its first step until a debugger lets it go", async () => {
    const { child, result } = nacre.start(["guest", "start", "--inspect-brk", "nvrc"]);
    let said = "";
    child.stderr?.on("data", (text: string) => (said += text));
    while (!said.includes("chrome://inspect")) await once(child.stderr ?? child, "data");
    const url = /^debugger (ws:\S+)$/mu.exec(said)?.[1] ?? "";
    const client = await firstAnswer(url);
    await client.post("Debugger.enable");
    await client.post("Runtime.runIfWaitingForDebugger");
    await client.event("Debugger.paused");
    expect(await client.evaluate(`process.getBuiltinModule("node:fs").existsSync("/dev/pts")`)).toBe(true);
    expect(await nacre.json(["guest", "list", "--json"])).toEqual([]);
    await client.post("Debugger.resume");
    expect((await result).status).toBe(0);
    client.close();
  });

  it("knows what can be debugged", async () => {
    expect(await nacre.run(["guest", "start", "--inspect", "sshd"])).toMatchObject({
      status: 2,
      stderr:
        'nacre: --inspect: expected one of nvrc, kata-agent, attestation-agent, confidential-data-hub, got "sshd"\n',
    });
  });
});

/** The guest is on its way: each refusal is told, and another try is made. */
async function firstAnswer(url: string): Promise<DebuggerClient> {
  for (;;) {
    const client = await DebuggerClient.connect(url);
    if ((await Promise.race([client.closed, client.evaluate("1")])) === 1) return client;
  }
}
