import { randomBytes } from "node:crypto";

import { type Command, command } from "../command.ts";
import { type Context, note, print } from "../context.ts";
import { guestRegistries } from "../guest-registries.ts";
import { findGuest, type Guest, listGuests } from "../guest/guest.ts";
import { readImageConfig } from "../image.ts";
import { readInput } from "../input-file.ts";
import { containerProcess } from "../process-spec.ts";
import { openPod, selectGuest } from "../select.ts";
import { session } from "../session.ts";
import { sweepAbandoned } from "../sweep-abandoned.ts";
import { screenOf } from "../terminal.ts";
import { startNoted } from "./guest-start.ts";
import { checkRunArguments, POD_FLAGS, runPod } from "./run-pod.ts";

export const run: Command = command({
  name: "run",
  usage: "IMAGE [-- COMMAND [ARG...]] | -f MANIFEST",
  summary: "Pull an image inside a guest and run a container of it",
  details: `
Without a guest one is started, and goes on afterwards. The image's Entrypoint, Env, WorkingDir and User hold; COMMAND
takes the place of its Cmd. A name such as myregistry:5000/app is pulled over TLS; see nacre guest start --help.

With -f it is the pod of a manifest, under the policy that nacre policy generate makes of it, in a guest of its own that has
the policy in its initdata and ends with the pod. Init containers run one after the other, then all others at once, until
the last has ended; none is started again, and probes and hooks are not run. The status is the first that is not 0. gateway
in --mirror is this machine, where the images are also looked up.`,
  arity: { min: 0, max: 1, rest: true },
  flags: {
    guest: { type: "string", value: "GUEST", help: "which guest; default: the only one, or a new one" },
    name: { type: "string", value: "NAME", help: "name of the container; default: made up" },
    policy: { type: "string", value: "FILE", help: "put this Rego policy in force first (SetPolicy)" },
    env: { type: "string", short: "e", multiple: true, value: "NAME[=VALUE]", help: "environment entry" },
    user: { type: "string", short: "u", value: "UID[:GID]", help: "in place of the image's" },
    workdir: { type: "string", short: "w", value: "PATH", help: "in place of the image's" },
    interactive: { type: "boolean", short: "i", help: "pass standard input" },
    tty: { type: "boolean", short: "t", help: "give it a terminal" },
    detach: {
      type: "boolean",
      short: "d",
      help: "do not wait; its output is read by nobody, and stops it when it is long",
    },
    rm: { type: "boolean", help: "remove the container when it has ended" },
    ...POD_FLAGS,
  },
  async run({ args, rest, flags }, context) {
    checkRunArguments(args, rest, flags);
    if (flags.file.length > 0) {
      await sweepAbandoned(context);
      return await runPod(flags, context);
    }
    const [image = ""] = args;
    const { signal } = context.interrupts;
    await sweepAbandoned(context);
    const guest = await guestForRun(flags.guest, context);
    const config = await readImageConfig(image, guestRegistries(guest), signal);
    const process = containerProcess(config, {
      command: rest,
      env: flags.env,
      hostEnv: context.env,
      terminal: flags.tty,
      size: screenOf(context).size(),
      user: flags.user,
      workdir: flags.workdir,
    });
    using open = await openPod(guest, signal);
    const { pod, agent } = open;
    if (flags.policy !== undefined) await pod.setPolicy(await readInput(flags.policy, context), signal);
    const record = await pod.create({ name: flags.name ?? madeUpName(image), image, process }, signal);
    const ids = await pod.start(record, signal);
    const described = { guest: guest.id, name: record.name, id: record.id };
    if (flags.detach) {
      print(context, described, record.name);
      return 0;
    }
    const result = await session(context, agent, pod, ids, { interactive: flags.interactive, terminal: flags.tty });
    if (flags.rm) await pod.remove(record);
    else pod.containers.replace({ ...record, exitStatus: result.status });
    if (context.json) print(context, { ...described, ...result }, "");
    return result.status;
  },
});

async function guestForRun(id: string | undefined, context: Context): Promise<Guest> {
  if (id !== undefined) return findGuest(id);
  if (listGuests().length > 0) return selectGuest(undefined);
  const guest = await startNoted(context, {});
  note(context, `it stays until: nacre guest stop ${guest.id}`);
  return guest;
}

/** The last part of the image's name and a few digits. */
function madeUpName(image: string): string {
  const base = /([a-z0-9._-]+)(?::[^/]*)?(?:@.*)?$/u.exec(image)?.[1] ?? "container";
  return `${base.replace(/^[^a-z0-9]+/u, "").slice(0, 40)}-${randomBytes(3).toString("hex")}`;
}
