import { type Command, command } from "../command.ts";
import { print } from "../context.ts";
import { selectGuest } from "../select.ts";
import { visible } from "../visible.ts";

export const guestLogs: Command = command({
  name: "guest logs",
  usage: "[GUEST]",
  summary: "Print what the guest's daemons have logged",
  arity: { min: 0, max: 1 },
  flags: {},
  async run({ args: [id] }, context) {
    const log = selectGuest(id).log();
    print(context, { lines: log.split("\n").filter((line) => line !== "") }, visible(log));
    await Promise.resolve();
  },
});
