import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join, resolve } from "node:path";

import { Health } from "@nacre/protocols";
import { TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";
import { afterEach, describe, expect, it } from "vitest";

import { startAgent, type TestAgent } from "../fixtures/agent-harness.ts";
import { ALLOW_ALL } from "../fixtures/agent-requests.ts";

const MAIN = resolve(import.meta.dirname, "../../packages/kata-agent/src/main.ts");
const CONFIG = 'guest_components_procs = "none"\ndebug_console = true\ndebug_console_vport = 1026\n';

/** One end of a console: what was read so far, and waiting for a text in it. */
class Console {
  readonly #socket: Socket;
  text = "";

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => (this.text += chunk.toString()));
  }

  static async open(agent: TestAgent): Promise<Console> {
    const socket = connect(join(agent.state, "vsock/1026.sock"));
    const opened = new Console(socket);
    await once(socket, "connect");
    return opened;
  }

  type(line: string): void {
    this.#socket.write(`${line}\n`);
  }

  async until(text: string): Promise<void> {
    while (!this.text.includes(text)) await once(this.#socket, "data");
  }

  /** All of the text, once the other side has ended. */
  async ended(): Promise<string> {
    if (!this.#socket.readableEnded) await once(this.#socket, "end");
    this.#socket.destroy();
    return this.text;
  }

  drop(): void {
    this.#socket.destroy();
  }
}

describe("the debug console", () => {
  let agent: TestAgent;
  afterEach(() => agent.stop());

  const running = async (name: string): Promise<boolean> =>
    (await agent.inside("/bin/sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")).includes(name);

  it("gives every connection a shell with a terminal of its own", async () => {
    agent = await startAgent({ policy: ALLOW_ALL, config: CONFIG });
    const [one, two] = [await Console.open(agent), await Console.open(agent)];
    one.type("test -t 0 && echo is''-terminal; tty; hostname; echo $PATH:$HOME");
    two.type("tty; ps -o sid= -p $$; echo $$");
    await one.until("is-terminal");
    await one.until("golden-guest");
    await one.until("/usr/bin:/sbin:/bin:/root");
    one.type("exit 3");
    two.type("exit");
    const terminals = [await one.ended(), await two.ended()].map((text) => /\/dev\/pts\/\d+/.exec(text)?.[0]);
    expect(new Set(terminals).size).toBe(2);
    expect(terminals).not.toContain(undefined);
    // Job control needs the terminal to be the session's own.
    expect(one.text).not.toMatch(/no job control|cannot set terminal process group/);
    await agent.logged(/"msg":"debug console: a shell ended".*"status":3/);
  });

  it("interrupts what runs in it, and gives all of the output before it ends", async () => {
    agent = await startAgent({ policy: ALLOW_ALL, config: CONFIG });
    const shell = await Console.open(agent);
    // Told by the program itself: then it has the terminal, which the shell gives it before.
    shell.type(`sh -c "echo begin''s; exec sleep 1000"`);
    await shell.until("begins");
    shell.type("\x03");
    shell.type("echo status $?; exec seq 1 20000");
    const text = await shell.ended();
    expect(text).toContain("status 130");
    expect(text).toMatch(/\r\n19999\r\n20000\r\n$/);
  });

  it("ends the shell with the connection", async () => {
    agent = await startAgent({ policy: ALLOW_ALL, config: CONFIG });
    const shell = await Console.open(agent);
    shell.type("exec -a console-shell bash -c 'echo read''y; read line'");
    await shell.until("ready");
    expect(await running("console-shell")).toBe(true);
    shell.drop();
    await agent.logged("debug console: a shell ended");
    expect(await running("console-shell")).toBe(false);
    const client = new TtrpcClient(await dial(`unix://${agent.socket}`));
    expect(await client.call(Health.methods.Check, {})).toEqual({ status: 1 });
    client.close();
  });

  it("says so where there is no shell", async () => {
    const prepare = "mkdir /run/empty && mount --bind /run/empty /usr/bin";
    // The shell that prepares is there already; the agent's own program lies elsewhere.
    agent = await startAgent({ policy: ALLOW_ALL, config: CONFIG, prepare });
    const refused = await Console.open(agent);
    expect(await refused.ended()).toBe(
      "no shell found to launch debug console: expected one of /run/kata-extensions/devkit/bin/devkit-sh, /bin/bash, /bin/sh\r\n",
    );
  });

  it("is not in other flavours", async () => {
    const entry = [
      process.execPath,
      "--conditions=source",
      "--disable-warning=ExperimentalWarning",
      "--import",
      'data:text/javascript,globalThis.NACRE_FLAVOUR="kata"',
      MAIN,
    ];
    agent = await startAgent({ policy: ALLOW_ALL, config: CONFIG, entry });
    await expect(Console.open(agent)).rejects.toMatchObject({ code: "ENOENT" });
    await agent.logged("a debug console was asked for; the kata flavour has none");
  });

  it("is not opened unless it is asked for", async () => {
    agent = await startAgent({ policy: ALLOW_ALL });
    await expect(Console.open(agent)).rejects.toMatchObject({ code: "ENOENT" });
  });
});
