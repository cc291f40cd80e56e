import type { Flag } from "../command.ts";
import { type Context, note, print } from "../context.ts";
import { NacreError } from "../error.ts";
import { generatePolicy, type GeneratedPolicy } from "../genpolicy/generate.ts";
import { readImageFacts } from "../genpolicy/image-facts.ts";
import { PodRunner } from "../genpolicy/pod-runner.ts";
import { registriesOf } from "../genpolicy/registries.ts";
import { PodRun } from "../genpolicy/run-pod.ts";
import { hubConfigOf } from "../guest/hub-config.ts";
import { initdataDocument } from "../guest/initdata.ts";
import { chooseNetwork } from "../guest/network.ts";
import type { StartGuestOptions } from "../guest/options.ts";
import { openPod } from "../select.ts";
import { GUEST_FLAGS, guestOptions, mebibytes } from "./guest-flags.ts";
import { startNoted } from "./guest-start.ts";
import { EXEC_ALLOW, noteGenerated, parseCommandLine, readManifests, teller } from "./policy-generate.ts";
import { type GivenQemuFlags, QEMU_FLAGS, qemuOptions } from "./qemu-flags.ts";

type One = Flag & { readonly type: "string" };
type Many = Flag & { readonly type: "string"; readonly multiple: true };
type Switch = Flag & { readonly type: "boolean" };

const { policy: _policy, ...GUEST } = GUEST_FLAGS;

/** Flags that make sense with a manifest alone. */
export const POD_FLAGS: Readonly<{
  file: Many;
  "exec-allow": Many;
  "exec-stdin": Switch;
  namespace: One;
  workload: One;
  memory: One;
}> &
  Omit<typeof GUEST_FLAGS, "policy"> &
  typeof QEMU_FLAGS = {
  file: {
    type: "string",
    short: "f",
    multiple: true,
    value: "MANIFEST",
    help: "run this pod in a guest of its own, under its policy; with its ConfigMaps and Secrets",
  },
  "exec-allow": EXEC_ALLOW,
  "exec-stdin": { type: "boolean", help: "with -f: let nacre exec -i write to commands" },
  namespace: { type: "string", value: "NAME", help: "with -f: where the manifest names none; default: default" },
  workload: { type: "string", value: "[KIND/]NAME", help: "with -f: which one of several that make pods" },
  memory: { type: "string", value: "MIB", help: "with -f: memory of the guest" },
  ...GUEST,
  ...QEMU_FLAGS,
};

/** What `nacre run -f` was given. */
export interface PodRunFlags extends GivenQemuFlags {
  readonly file: readonly string[];
  readonly "exec-allow": readonly string[];
  readonly "exec-stdin": boolean;
  readonly namespace: string | undefined;
  readonly workload: string | undefined;
  readonly memory: string | undefined;
  readonly mirror: readonly string[];
  readonly "insecure-registry": readonly string[];
  readonly "registry-ca": readonly string[];
  readonly kernel: readonly string[];
  readonly interactive: boolean;
  readonly detach: boolean;
}

/** Makes the policy of the pod, starts a guest with it, runs the pod there and ends the guest. Gives the exit status. */
export async function runPod(flags: PodRunFlags, context: Context): Promise<number> {
  const generated = await policyFor(flags, context);
  noteGenerated(context, generated);
  const guest = await startNoted(context, await guestFor(flags, context, generated.policy));
  let stays = false;
  try {
    const { signal } = context.interrupts;
    using open = await openPod(guest, signal);
    const { containers } = generated.pod;
    const runner = new PodRunner(generated.pod, guest, open, signal);
    const run = new PodRun(context, runner, open, { containers, interactive: flags.interactive });
    await runner.begin();
    const ended = await run.init();
    const started = await run.start();
    if (flags.detach) {
      stays = true;
      const names = started.map(({ record }) => record.name);
      note(context, `it stays until: nacre guest stop ${guest.id}`);
      print(context, { guest: guest.id, containers: names }, names.join("\n"));
      return 0;
    }
    const results = await run.wait(started);
    if (context.json) print(context, { guest: guest.id, containers: [...ended, ...results] }, "");
    return results.find(({ status }) => status !== 0)?.status ?? 0;
  } finally {
    if (!stays) await guest.stop();
  }
}

async function policyFor(flags: PodRunFlags, context: Context): Promise<GeneratedPolicy> {
  const { signal } = context.interrupts;
  const registries = await registriesOf({ ...flags, authfile: undefined }, context);
  return await generatePolicy({
    files: await readManifests(flags.file, context),
    images: (reference) => readImageFacts(reference, { registries, signal, onLayers: teller(context) }),
    namespace: flags.namespace ?? "default",
    workload: flags.workload,
    exec: flags["exec-allow"].map(parseCommandLine),
    execStdin: flags["exec-stdin"],
    // Whoever runs a pod here reads what it writes.
    logs: true,
  });
}

/** A guest that has the policy from the start, as part of its initdata. */
async function guestFor(flags: PodRunFlags, context: Context, policy: string): Promise<StartGuestOptions> {
  const options: StartGuestOptions = {
    ...(await guestOptions({ ...flags, policy: undefined }, context)),
    ...qemuOptions(flags),
    ...(flags.memory === undefined ? {} : { memoryBytes: mebibytes("--memory", flags.memory) }),
  };
  // A virtual machine's initdata is made of these.
  if (flags.qemu) return { ...options, policy };
  const network = chooseNetwork();
  return { ...options, network, initdata: initdataDocument({ policy, hubConfig: hubConfigOf(network, options) }) };
}

/** Throws `usage` where what was given fits no manifest, or no image. */
export function checkRunArguments(
  args: readonly string[],
  rest: readonly string[] | undefined,
  flags: Readonly<Record<string, unknown>>,
): void {
  const given = (names: readonly string[]): string | undefined =>
    names.find((name) => {
      const value = flags[name];
      return value === true || typeof value === "string" || (Array.isArray(value) && value.length > 0);
    });
  if (given(["file"]) === undefined) {
    const [image] = args;
    if (image === undefined) throw new NacreError("usage", "run: expected IMAGE, or -f MANIFEST");
    const foreign = given(Object.keys(POD_FLAGS));
    if (foreign !== undefined) throw new NacreError("usage", `run: --${foreign} needs -f MANIFEST`);
    return;
  }
  const foreign = given(["guest", "name", "policy", "env", "user", "workdir", "tty", "rm"]);
  if (foreign !== undefined) throw new NacreError("usage", `run: not --${foreign} with -f: the manifest says it`);
  if (args.length > 0 || rest !== undefined) {
    throw new NacreError("usage", "run: IMAGE and COMMAND, or -f MANIFEST, not both");
  }
}
