import { TRACE_PARAMETER } from "@nacre/protocols";

import { type Command, command } from "../command.ts";
import { type Context, note, print } from "../context.ts";
import { NacreError } from "../error.ts";
import type { Guest } from "../guest/guest.ts";
import type { StartGuestOptions } from "../guest/options.ts";
import { shellOptions } from "../guest/shell.ts";
import { startGuest } from "../guest/start.ts";
import { readForm } from "../initdata/forms.ts";
import { readInputBytes } from "../input-file.ts";
import { inspectOptions } from "../inspect/inspected.ts";
import { sweepAbandoned } from "../sweep-abandoned.ts";
import { Builder } from "../watch/builder.ts";
import { watchLoop, type WatchPorts } from "../watch/loop.ts";
import { restartHub } from "../watch/restart-hub.ts";
import { teller } from "../watch/tell.ts";
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
    inspect: {
      type: "string",
      value: "DAEMON",
      help: "open the debugger of a daemon: nvrc, kata-agent or a guest component",
    },
    "inspect-brk": { type: "string", value: "DAEMON", help: "the same, and it goes on only when a debugger is there" },
    shell: {
      type: "boolean",
      help: "let nacre guest console --shell in (devkit), with busybox or the devkit extension",
    },
    watch: { type: "boolean", help: "stay, and start the guest or its daemon anew when their sources change" },
    initdata: { type: "string", value: "FILE", help: "an initdata document, in any form of nacre initdata" },
    memory: { type: "string", value: "MIB", help: "memory of the guest with its containers" },
    ...QEMU_FLAGS,
  },
  async run({ flags }, context) {
    await sweepAbandoned(context);
    const options = await startOptions(flags, context);
    const inspect = inspected(flags.inspect, flags["inspect-brk"]);
    const shell = flags.shell ? shellOptions(flags.qemu ? "qemu" : "simulated") : undefined;
    const given: StartGuestOptions = {
      ...options,
      ...inspect,
      ...shell,
      kernelParameters: [
        ...(flags.trace ? [TRACE_PARAMETER] : []),
        ...(inspect?.kernelParameters ?? []),
        ...(shell?.kernelParameters ?? []),
        ...(options.kernelParameters ?? []),
      ],
      ...(flags.memory === undefined ? {} : { memoryBytes: mebibytes("--memory", flags.memory) }),
      ...qemuOptions({ ...flags, extension: [...(shell?.extensions ?? []), ...flags.extension] }),
    };
    if (flags.watch) return await watched(context, given);
    const guest = await startNoted(context, given);
    print(context, guestJson(guest), guestText(guest));
  },
});

/** What of the flags is given to the guest, by initdata or otherwise. */
async function startOptions(
  flags: Parameters<typeof guestOptions>[0] & { readonly initdata: string | undefined; readonly qemu: boolean },
  context: Context,
): Promise<StartGuestOptions> {
  const options = await guestOptions(flags, context);
  if (flags.initdata === undefined) return options;
  const { toml: initdata } = await readForm(await readInputBytes(flags.initdata, context));
  const given = [...flags.mirror, ...flags["insecure-registry"], ...flags["registry-ca"]];
  if (!flags.qemu || given.length > 0) return { ...options, initdata };
  // A virtual machine has its configuration by initdata alone.
  const { registries: _, extraRoots: __, ...rest } = options;
  return { ...rest, initdata };
}

/** Starts a guest again whenever its sources change, until Ctrl-C. */
async function watched(context: Context, given: StartGuestOptions): Promise<never> {
  const { signal } = context.interrupts;
  const kind = given.kind ?? "simulated";
  if (given.image !== undefined || (given.flavour ?? "devkit") !== "devkit") {
    throw new NacreError("usage", "guest start: --watch builds the devkit's image itself");
  }
  using builder = Builder.start(kind);
  const simulated = kind === "simulated";
  const ports: WatchPorts = {
    next: (until) => builder.next(until),
    start: (options, { folder }) =>
      startGuest({
        onDebugUrl: debugTeller(context),
        onNote: (text) => note(context, text),
        ...options,
        ...(simulated ? { daemons: folder } : {}),
        signal,
      }),
    restartHub: simulated ? restartHub : undefined,
    now: () => performance.now(),
    tell: teller(context, { json: guestJson, text: guestText }),
  };
  return await watchLoop(given, ports, signal);
}

/** Starts a guest and tells how long it took. */
export async function startNoted(context: Context, options: StartGuestOptions): Promise<Guest> {
  const began = performance.now();
  const guest = await startGuest({
    onDebugUrl: debugTeller(context),
    onNote: (text) => note(context, text),
    ...options,
    signal: context.interrupts.signal,
  });
  note(context, `guest ${guest.id} is up after ${Math.round(performance.now() - began)} ms`);
  if (guest.networkRefusal !== undefined) note(context, `it has no network: ${guest.networkRefusal}`);
  return guest;
}

function inspected(
  daemon: string | undefined,
  waited: string | undefined,
): ReturnType<typeof inspectOptions> | undefined {
  if (daemon !== undefined && waited !== undefined) {
    throw new NacreError("usage", "guest start: --inspect or --inspect-brk, not both");
  }
  if (waited !== undefined) return inspectOptions(waited, true);
  return daemon === undefined ? undefined : inspectOptions(daemon, false);
}

/** A start that waits for the debugger prints nothing else before. */
function debugTeller(context: Context): (url: string) => void {
  return (url) => {
    context.stderr.write(context.json ? `${JSON.stringify({ debugger: url })}\n` : debugText(url));
  };
}

function debugText(url: string): string {
  return `debugger ${url}\n         or chrome://inspect with ${new URL(url).host} among its targets\n`;
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
    ...(guest.debugUrl === undefined ? {} : { debugger: guest.debugUrl }),
    ...(guest.attestationKey === undefined ? {} : { referenceValues: guest.layout.referenceValues }),
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
    ...(guest.attestationKey === undefined
      ? []
      : [`values   ${guest.layout.referenceValues} (what its TPM must show)`]),
  ].join("\n");
}
