import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { changed } from "../fixtures/changed.ts";
import { checkout, replaceFile } from "../fixtures/checkout.ts";
import { NacreCommand } from "../fixtures/nacre-command.ts";

interface Event {
  readonly event: string;
  readonly guest: { readonly id: string; readonly gateway: string; readonly pid: number };
  readonly message?: string;
  readonly because?: readonly string[];
  readonly build: { readonly because: readonly string[]; readonly files: readonly string[] };
}

describe("nacre guest start --watch", () => {
  let sources: string;
  let state: string;
  let nacre: NacreCommand;
  beforeAll(() => {
    sources = checkout(["guest-rootfs"]);
    state = mkdtempSync("/run/nacre-watch-");
    nacre = new NacreCommand(state);
  });
  afterAll(async () => {
    await nacre.run(["guest", "stop", "--all"]);
    for (const folder of [sources, state]) rmSync(folder, { recursive: true, force: true });
  });

  it("starts what has changed anew, tells what does not build, and ends everything with Ctrl-C", async () => {
    const main = join(sources, "packages/cli/src/main.ts");
    const command = [process.execPath, "--conditions=source", "--disable-warning=ExperimentalWarning", main];
    const { child, result } = nacre.start(["guest", "start", "--watch", "--json"], command);
    if (child.stdout === null) throw new Error("started without stdout");
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    const next = async (): Promise<Event> => JSON.parse(String((await lines.next()).value)) as Event;

    const first = await next();
    // Written beside what the daemons answer.
    const logged = async (text: string): Promise<void> => {
      const file = join(state, "guests", first.guest.id, "guest.log");
      await changed(file, () => readFileSync(file, "utf8").includes(text));
      expect((await nacre.run(["guest", "logs"])).stdout).toContain(text);
    };
    expect(first).toMatchObject({ event: "started", build: { because: [] } });
    expect(await nacre.json(["rpc", "Check"])).toEqual({ status: "SERVING" });

    const agent = join(sources, "packages/kata-agent/src/version.ts");
    const original = readFileSync(agent, "utf8");
    replaceFile(agent, `${original}process.stderr.write('the changed agent\\n');\n`);
    const again = await next();
    expect(again).toMatchObject({
      event: "started",
      guest: { id: first.guest.id, gateway: first.guest.gateway },
      build: { because: ["packages/kata-agent/src/version.ts"], files: ["kata-agent.mjs"] },
    });
    expect(again.guest.pid).not.toBe(first.guest.pid);
    await logged("the changed agent\n");

    appendFileSync(
      join(sources, "packages/confidential-data-hub/src/version.ts"),
      "process.stderr.write('the changed hub\\n');\n",
    );
    const hub = await next();
    expect(hub).toMatchObject({
      event: "daemon",
      guest: { pid: again.guest.pid },
      build: { files: ["confidential-data-hub.mjs"] },
    });
    await logged("the changed hub\n");

    replaceFile(agent, `${original}\n}`);
    expect(await next()).toMatchObject({
      event: "broken",
      because: ["packages/kata-agent/src/version.ts"],
      message: expect.stringContaining('Unexpected "}"'),
    });
    expect(await nacre.json(["rpc", "Check"])).toEqual({ status: "SERVING" });
    // What no bundle holds is nobody's concern; what mends the break is.
    appendFileSync(join(sources, "packages/cli/src/version-none.ts"), "export {};\n");
    replaceFile(agent, original);
    expect(await next()).toMatchObject({ event: "started", guest: { id: first.guest.id } });

    child.kill("SIGINT");
    expect((await result).status).toBe(130);
    expect(await nacre.json(["guest", "list", "--json"])).toEqual([]);
  });

  it("is for the devkit's own image", async () => {
    expect(await nacre.run(["guest", "start", "--watch", "--qemu", "--flavour", "kata"])).toMatchObject({
      status: 2,
      stderr: "nacre: guest start: --watch builds the devkit's image itself\n",
    });
  });
});
