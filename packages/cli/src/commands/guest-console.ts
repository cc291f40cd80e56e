import { once } from "node:events";

import { type Command, command } from "../command.ts";
import { note } from "../context.ts";
import { consoleOf, shellSession } from "../console.ts";
import { NacreError } from "../error.ts";
import { selectGuest } from "../select.ts";
import { rawInput } from "../terminal.ts";

export const guestConsole: Command = command({
  name: "guest console",
  usage: "[GUEST]",
  summary: "Follow what the guest writes to its console, or open a shell inside",
  details: `
Prints the guest's log from its beginning and goes on until the guest ends or Ctrl-C: of a virtual machine the serial
console, else what its daemons log. With --shell it is a shell of the agent's debug console instead, in a guest of the
devkit flavour that was started with --shell; Ctrl-] ends it.`,
  arity: { min: 0, max: 1 },
  flags: {
    shell: { type: "boolean", help: "a shell inside the guest, under no policy" },
    raw: { type: "boolean", help: "the bytes as they are, also those that steer a terminal" },
  },
  async run({ args: [id], flags }, context) {
    const { signal } = context.interrupts;
    const guest = selectGuest(id);
    if (flags.shell) {
      if (context.json || flags.raw) throw new NacreError("usage", "guest console: --shell stands alone");
      const { stdin, stdout } = context;
      const terminal = stdin.isTTY;
      if (terminal) note(context, `guest ${guest.id}; Ctrl-] ends this session`);
      using _raw = rawInput(context);
      await shellSession(guest, { input: stdin, output: stdout, terminal }, signal);
      return 0;
    }
    for await (const part of consoleOf(guest, flags.raw, signal)) {
      const shown = context.json ? `${JSON.stringify({ line: part.toString().replace(/\n$/u, "") })}\n` : part;
      if (!context.stdout.write(shown)) await drained(context.stdout);
      // Its reader has gone.
      if (!context.stdout.writable) return 0;
    }
    signal.throwIfAborted();
    return 0;
  },
});

async function drained(stream: NodeJS.WriteStream): Promise<void> {
  await Promise.race([once(stream, "drain"), once(stream, "close")]).catch(() => undefined);
}
