import { TRACE_PARAMETER } from "@nacre/protocols";

import { type Command, command } from "../command.ts";
import { type Context, note, print } from "../context.ts";
import type { Guest } from "../guest/guest.ts";
import type { StartGuestOptions } from "../guest/options.ts";
import { startGuest } from "../guest/start.ts";
import { sweepAbandoned } from "../sweep-abandoned.ts";
import { GUEST_FLAGS, guestOptions, mebibytes } from "./guest-flags.ts";
import { QEMU_FLAGS, qemuOptions } from "./qemu-flags.ts";

export const guestStart: Command = command({
  name: "guest start",
  usage: "",
  summary: "Start a guest and print its addresses",
  details: `
The guest runs until nacre guest stop: in namespaces of its own, or with --qemu in a virtual machine that boots the
measured image of make rootfs. Its registry configuration speaks plain HTTP to the gateway and to what
--insecure-registry names, TLS to all others.`,
  arity: { min: 0, max: 0 },
  flags: {
    ...GUEST_FLAGS,
    trace: { type: "boolean", help: "have the daemons log what they do when, for nacre trace --guest" },
    memory: { type: "string", value: "MIB", help: "memory of the guest with its containers" },
    ...QEMU_FLAGS,
  },
  async run({ flags }, context) {
    await sweepAbandoned(context);
    const options = await guestOptions(flags, context);
    const guest = await startNoted(context, {
      ...options,
      kernelParameters: [...(flags.trace ? [TRACE_PARAMETER] : []), ...(options.kernelParameters ?? [])],
      ...(flags.memory === undefined ? {} : { memoryBytes: mebibytes("--memory", flags.memory) }),
      ...qemuOptions(flags),
    });
    print(context, guestJson(guest), guestText(guest));
  },
});

/** Starts a guest and tells how long it took. */
export async function startNoted(context: Context, options: StartGuestOptions): Promise<Guest> {
  const began = performance.now();
  const guest = await startGuest({ ...options, signal: context.interrupts.signal });
  note(context, `guest ${guest.id} is up after ${Math.round(performance.now() - began)} ms`);
  return guest;
}

/** What programs get to know of a guest. */
export function guestJson(guest: Guest): object {
  return {
    id: guest.id,
    kind: guest.kind,
    agent: guest.agentAddress,
    hybrid: guest.hybridAddress,
    gateway: guest.gateway,
    address: guest.address,
    created: guest.created,
    log: guest.logFile,
    pid: guest.initPid,
  };
}

function guestText(guest: Guest): string {
  return [
    `guest    ${guest.id}`,
    `agent    ${guest.agentAddress}`,
    `hybrid   ${guest.hybridAddress}`,
    `gateway  ${guest.gateway} (this machine, as the guest sees it)`,
    `address  ${guest.address}`,
    `log      ${guest.logFile}`,
  ].join("\n");
}
