import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { checkout, replaceFile } from "../fixtures/checkout.ts";
import { NacreCommand } from "../fixtures/nacre-command.ts";

interface Event {
  readonly event: string;
  readonly guest: { readonly id: string; readonly kind: string; readonly gateway: string; readonly pid: number };
  readonly build: { readonly because: readonly string[]; readonly files: readonly string[] };
}

describe("nacre guest start --watch --qemu", () => {
  let sources: string;
  let state: string;
  let nacre: NacreCommand;
  beforeAll(() => {
    sources = checkout(["debian", "tools"]);
    state = mkdtempSync("/run/nacre-watch-");
    nacre = new NacreCommand(state);
  });
  afterAll(async () => {
    await nacre.run(["guest", "stop", "--all"]);
    for (const folder of [sources, state]) rmSync(folder, { recursive: true, force: true });
  });

  it("builds the devkit's image, and starts another one in its place when a source has changed", async () => {
    const main = join(sources, "packages/cli/src/main.ts");
    const command = [process.execPath, "--conditions=source", "--disable-warning=ExperimentalWarning", main];
    const machine = ["--qemu", "--accel", "tcg", "--bridge", "vhost-user-vsock"];
    const { child, result } = nacre.start(["guest", "start", "--watch", "--json", ...machine], command);
    if (child.stdout === null) throw new Error("started without stdout");
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const next = async (): Promise<Event> => {
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`expected an event, got the end: ${(await result).stderr}`);
      return JSON.parse(value) as Event;
    };
    const rootHash = (): unknown =>
      (JSON.parse(readFileSync(join(sources, "build/images/devkit/image.json"), "utf8")) as { rootHash: string })
        .rootHash;

    const first = await next();
    expect(first).toMatchObject({ event: "started", guest: { kind: "qemu" }, build: { because: [] } });
    const before = rootHash();

    const agent = join(sources, "packages/kata-agent/src/version.ts");
    replaceFile(agent, `${readFileSync(agent, "utf8")}process.stderr.write('the changed agent\\n');\n`);
    const again = await next();
    expect(again).toMatchObject({
      event: "started",
      guest: { id: first.guest.id, gateway: first.guest.gateway, kind: "qemu" },
      build: { because: ["packages/kata-agent/src/version.ts"], files: ["kata-agent.mjs"] },
    });
    expect(again.guest.pid).not.toBe(first.guest.pid);
    expect(rootHash()).not.toBe(before);
    expect(await nacre.json(["rpc", "Check"])).toEqual({ status: "SERVING" });
    expect((await nacre.run(["guest", "logs"])).stdout).toContain("the changed agent");

    child.kill("SIGINT");
    expect((await result).status).toBe(130);
    expect(await nacre.json(["guest", "list", "--json"])).toEqual([]);
  });
});
