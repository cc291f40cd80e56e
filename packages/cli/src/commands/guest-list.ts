import { type Command, command } from "../command.ts";
import { print, table } from "../context.ts";
import { listGuests } from "../guest/guest.ts";
import { sweepAbandoned } from "../sweep-abandoned.ts";
import { guestJson } from "./guest-start.ts";

export const guestList: Command = command({
  name: "guest list",
  usage: "",
  summary: "List the guests that run",
  arity: { min: 0, max: 0 },
  flags: {},
  async run(_invocation, context) {
    await sweepAbandoned(context);
    const guests = listGuests();
    const rows = guests.map((guest) => [guest.id, guest.created, guest.gateway, guest.agentAddress]);
    print(context, guests.map(guestJson), table(["GUEST", "CREATED", "GATEWAY", "AGENT"], rows));
  },
});
