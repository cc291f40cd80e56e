import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";

import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { NACRE, NacreCommand } from "../fixtures/nacre-command.ts";

/** What a guest would do to the terminal of whoever watches it. */
const HOSTILE = "\u001b[2J\u001b]0;owned\u0007\u009b31m\rforged\u0008\n";

describe("nacre guest console", () => {
  let state: string;
  let nacre: NacreCommand;
  beforeAll(() => {
    state = mkdtempSync("/run/nacre-console-");
    nacre = new NacreCommand(state);
  });
  afterEach(() => nacre.run(["guest", "stop", "--all"]));
  afterAll(() => rmSync(state, { recursive: true, force: true }));

  const start = async (...args: string[]): Promise<string> =>
    (await nacre.json<{ id: string }>(["guest", "start", "--json", ...args])).id;

  it("prints what the guest has written and follows it to its end, without obeying it", async () => {
    const id = await start();
    const [shown, raw] = [nacre.start(["guest", "console"]), nacre.start(["guest", "console", "--raw"])];
    const json = nacre.start(["guest", "console", "--json", id]);
    for (const { shows } of [shown, raw, json]) await shows("ttRPC server started");
    appendFileSync(join(state, "guests", id, "guest.log"), HOSTILE);
    await shown.shows("forged");
    await raw.shows(HOSTILE);
    await nacre.run(["guest", "stop"]);
    const { status, stdout } = await shown.result;
    expect(status).toBe(0);
    expect(stdout).toMatch(/^NVRC /u);
    expect(stdout).toContain("\\x1b[2J\\x1b]0;owned\\x07\\x9b31m\\x0dforged\\x08\n");
    // The guest's last words are there, and nothing that steers.
    expect(stdout).toContain("NVRC effect powerOff");
    expect(stdout).not.toMatch(/[^\P{Cc}\n\t]/u);
    expect((await raw.result).stdout).toContain(HOSTILE);
    const lines = (await json.result).stdout.trimEnd().split("\n");
    expect(lines.map((line) => Object.keys(JSON.parse(line) as object))).toEqual(lines.map(() => ["line"]));
  });

  it("ends with Ctrl-C, and the guest does not", async () => {
    const id = await start();
    const { child, result, shows } = nacre.start(["guest", "console"]);
    await shows("ttRPC server started");
    child.kill("SIGINT");
    expect(await result).toMatchObject({ status: 130, stderr: "" });
    expect(await nacre.json(["guest", "list", "--json"])).toMatchObject([{ id }]);
  });

  it("--shell is a shell inside, which ends with its input", async () => {
    await start("--shell");
    const { status, stdout } = await nacre.run(
      ["guest", "console", "--shell"],
      "cat /etc/hostname; echo $((6*7)); readlink /proc/1/exe\n",
    );
    expect(status).toBe(0);
    expect(stdout).toMatch(/\r\nnacre\r\n42\r\n\/usr\/bin\/node\r\n/u);
  });

  it("passes keys on one by one: Ctrl-C goes inside, Ctrl-] ends the session", async () => {
    await start("--shell");
    const shell = [...NACRE, "guest", "console", "--shell"].map((word) => `'${word}'`).join(" ");
    const { child, result, shows } = nacre.start(["-qec", shell, "/dev/null"], ["script"]);
    await shows("/ #");
    // Told by the program itself: then it has the terminal, which the shell gives it before.
    child.stdin?.write(`sh -c "echo rea''dy; exec sleep 1000"\r`);
    await shows("ready");
    child.stdin?.write("\u0003");
    child.stdin?.write("echo stat''us $?\r");
    await shows("status 130");
    child.stdin?.write("\u001d");
    expect((await result).status).toBe(0);
  });

  it("says where there is no shell", async () => {
    const id = await start();
    expect(await nacre.run(["guest", "console", "--shell"])).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(
        new RegExp(`^nacre: guest ${id} has no debug console; it must be started with --shell:`, "u"),
      ),
    });
    await nacre.run(["guest", "stop"]);
    await start("--kernel", "agent.debug_console", "--kernel", "agent.debug_console_vport=1026");
    expect((await nacre.run(["guest", "console", "--shell"])).stdout).toMatch(
      /^no shell found to launch debug console/u,
    );
  });
});
