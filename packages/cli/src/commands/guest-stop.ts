import { type Command, command } from "../command.ts";
import { print } from "../context.ts";
import { NacreError } from "../error.ts";
import { findGuest, listGuests, stopGuest } from "../guest/guest.ts";
import { selectGuest } from "../select.ts";
import { sweepAbandoned } from "../sweep-abandoned.ts";

export const guestStop: Command = command({
  name: "guest stop",
  usage: "[GUEST...]",
  summary: "Power a guest off and remove everything that was made for it",
  details: "Without an argument: the only guest.",
  arity: { min: 0, max: 64 },
  flags: { all: { type: "boolean", short: "a", help: "every guest" } },
  async run({ args, flags }, context) {
    if (flags.all && args.length > 0) throw new NacreError("usage", "guest stop: guests or --all, not both");
    await sweepAbandoned(context);
    const guests = flags.all
      ? listGuests()
      : args.length > 0
        ? args.map((id) => findGuest(id))
        : [selectGuest(undefined)];
    const ids = guests.map(({ id }) => id);
    await Promise.all(ids.map((id) => stopGuest(id)));
    print(context, { stopped: ids }, ids.map((id) => `stopped ${id}`).join("\n"));
  },
});
