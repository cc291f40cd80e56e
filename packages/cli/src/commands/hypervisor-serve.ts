import { readFileSync } from "node:fs";
import { join } from "node:path";

import { type Command, command } from "../command.ts";
import type { Context } from "../context.ts";
import { NacreError } from "../error.ts";
import { stateRoot } from "../guest/layout.ts";
import { DEFAULT_SOCKET, serveHypervisor } from "../hypervisor/serve.ts";
import type { HypervisorEvent } from "../hypervisor/service.ts";
import { LocalMachine, namedImage, type NamedImage } from "../hypervisor/local-machine.ts";
import { REPOSITORY } from "../repository.ts";
import { sweepAbandoned } from "../sweep-abandoned.ts";
import { GUEST_FLAGS, guestOptions, mebibytes, wholeNumber } from "./guest-flags.ts";
import { QEMU_FLAGS, qemuOptions } from "./qemu-flags.ts";

/** Guests at one time, when --max-guests does not say. Each has some 150 MB of daemons. */
const DEFAULT_MAX_GUESTS = 32;

/**
 * The smallest guest, in MiB, when --min-memory does not say: a pod's memory is the sum of its containers' limits, of
 * which the guest's daemons and the unpacked images leave nothing where it is small.
 */
const DEFAULT_MIN_MEMORY = 512;

export const hypervisorServe: Command = command({
  name: "hypervisor serve",
  usage: "",
  summary: "Serve Kata's remote hypervisor: each pod of a Kata runtime becomes a guest here",
  details: `
Serves hypervisor.Hypervisor over ttRPC until SIGTERM or Ctrl-C; guests that run go on then, and the next server takes
them over. The runtime's configuration: nacre kata install --handler remote. A line for each event on standard error,
or with --json a JSON object for each on standard output.`,
  arity: { min: 0, max: 0 },
  flags: {
    socket: { type: "string", value: "PATH", help: `where to listen; default: ${DEFAULT_SOCKET}` },
    "max-guests": { type: "string", value: "N", help: `guests at one time; default: ${DEFAULT_MAX_GUESTS}` },
    memory: {
      type: "string",
      value: "MIB",
      help: "memory of a guest whose pod names none; default: no limit, 2048 with --qemu",
    },
    "min-memory": {
      type: "string",
      value: "MIB",
      help: `memory of a guest whose pod names less; default: ${DEFAULT_MIN_MEMORY}`,
    },
    vcpus: {
      type: "string",
      value: "N",
      help: "processors of a guest whose pod names none; default: no limit, 2 with --qemu",
    },
    image: {
      type: "string",
      multiple: true,
      value: "NAME=FOLDER",
      help: "what the annotation image may choose: an image of make rootfs, or a root directory",
    },
    qemu: QEMU_FLAGS.qemu,
    flavour: QEMU_FLAGS.flavour,
    accel: QEMU_FLAGS.accel,
    bridge: QEMU_FLAGS.bridge,
    ...GUEST_FLAGS,
  },
  async run({ flags }, context) {
    if (process.getuid?.() !== 0) throw new NacreError("environment", "guests need root");
    await sweepAbandoned(context);
    const root = stateRoot(context.env);
    const { qemu, flavour, accel, bridge } = flags;
    const { kind = "simulated", ...ofMachines } = qemuOptions({
      qemu,
      ovmf: false,
      flavour,
      accel,
      bridge,
      image: undefined,
      cpus: undefined,
      scratch: undefined,
      extension: [],
    });
    const machine = new LocalMachine({
      stateRoot: root,
      kind,
      qemu: ofMachines,
      images: new Map(flags.image.map(parseImage)),
      guest: await guestOptions(flags, context),
      minMemoryBytes: mebibytes("--min-memory", flags["min-memory"] ?? String(DEFAULT_MIN_MEMORY)),
      ...(flags.memory === undefined ? {} : { memoryBytes: mebibytes("--memory", flags.memory) }),
      ...(flags.vcpus === undefined ? {} : { cpus: wholeNumber("--vcpus", flags.vcpus) }),
    });
    const server = await serveHypervisor({
      machine,
      stateRoot: root,
      version: ownVersion(),
      maxGuests: flags["max-guests"] === undefined ? DEFAULT_MAX_GUESTS : maxGuests(flags["max-guests"]),
      onEvent: (event) => tell(context, event),
      ...(flags.socket === undefined ? {} : { socket: flags.socket }),
    });
    tell(context, { event: "listening", socket: server.socket, guests: server.service.size });
    await aborted(context.interrupts.signal);
    tell(context, { event: "closing", guests: server.service.size });
    await server.close();
    return 0;
  },
});

/** What the server says of itself. */
interface ServerEvent {
  readonly event: "listening" | "closing";
  readonly socket?: string;
  /** Virtual machines that are known. */
  readonly guests: number;
}

function tell(context: Context, event: HypervisorEvent | ServerEvent): void {
  if (context.json) context.stdout.write(`${JSON.stringify(event)}\n`);
  else context.stderr.write(`${eventText(event)}\n`);
}

/** One line: names come from pods, and are told without their control characters. */
function eventText(event: HypervisorEvent | ServerEvent): string {
  if (!("sandbox" in event)) {
    return event.event === "listening"
      ? `listening on ${event.socket}, ${event.guests} guests`
      : `closing, ${event.guests} guests stay`;
  }
  const { sandbox, pod, namespace, guest, reason, ms } = event;
  const who = pod === "" ? sandbox : `${namespace}/${pod} (${sandbox})`;
  const text = `${event.event} ${who} guest ${guest}${ms === undefined ? "" : ` in ${ms} ms`}${reason === undefined ? "" : `: ${reason}`}`;
  return text.replaceAll(/\p{Cc}+/gu, " ");
}

function parseImage(text: string): readonly [name: string, image: NamedImage] {
  const at = text.indexOf("=");
  if (at < 1 || at === text.length - 1) {
    throw new NacreError("usage", `--image: expected NAME=FOLDER, got ${JSON.stringify(text)}`);
  }
  return [text.slice(0, at), namedImage(text.slice(at + 1))];
}

function maxGuests(text: string): number {
  const count = wholeNumber("--max-guests", text);
  if (count < 1) throw new NacreError("usage", "--max-guests: expected at least 1");
  return count;
}

function ownVersion(): string {
  const file = join(REPOSITORY, "packages/cli/package.json");
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) done();
    else signal.addEventListener("abort", () => done(), { once: true });
  });
}
