import { writeFileSync } from "node:fs";

import type { ManifestFile } from "@nacre/genpolicy";
import type { Platform } from "oci-client";

import { type Command, command, type Flag } from "../command.ts";
import { type Context, note, print } from "../context.ts";
import { NacreError } from "../error.ts";
import { generatePolicy, type GeneratedPolicy } from "../genpolicy/generate.ts";
import { readImageFacts } from "../genpolicy/image-facts.ts";
import { registriesOf } from "../genpolicy/registries.ts";
import { readInput } from "../input-file.ts";
import { REGISTRY_FLAGS } from "./registry-flags.ts";

interface Texts extends Flag {
  readonly type: "string";
  readonly multiple: true;
}

/** What the owner allows beyond the manifest. */
export const EXEC_ALLOW: Texts = {
  type: "string",
  multiple: true,
  value: "COMMAND",
  help: "a command for any container: words, or a JSON list of them",
};

/** A layer's worth that is read at once without a word. */
const SMALL: number = 32 * 1024 * 1024;

export const policyGenerate: Command = command({
  name: "policy generate",
  usage: "MANIFEST...",
  summary: "Make the policy under which a pod runs, and nothing else, from its manifest",
  details: `
MANIFEST is YAML with a Pod, or with a Deployment, ReplicaSet, StatefulSet, DaemonSet, Job or CronJob that makes pods, and
the ConfigMaps and Secrets that it refers to for variables; - reads standard input. Each image's digest, configuration and
accounts are read from its registry: the policy allows the image that its name stands for now. The policy is put to all
requests that a runtime makes of the pod before it is printed. What of a manifest is not known, or cannot be held to by a
policy, is an error with its line. packages/genpolicy/POLICY.md says what a policy binds.

Exit status 1 when no policy was made.`,
  arity: { min: 1, max: 100 },
  flags: {
    output: { type: "string", short: "o", value: "FILE", help: "write the policy there instead of to standard output" },
    "exec-allow": EXEC_ALLOW,
    "exec-stdin": { type: "boolean", help: "let the host write to what is run in containers, as kubectl exec -i does" },
    "log-allow": { type: "boolean", help: "let the host read what containers write, and their termination messages" },
    namespace: { type: "string", short: "n", value: "NAME", help: "where the manifest names none; default: default" },
    workload: { type: "string", value: "[KIND/]NAME", help: "which one, where MANIFEST has several that make pods" },
    platform: { type: "string", value: "OS/ARCH", help: "of the images; default: this machine's, as linux/amd64" },
    mirror: { type: "string", multiple: true, value: "NAME=PLACE", help: "look up images of registry NAME at PLACE" },
    ...REGISTRY_FLAGS,
    authfile: { type: "string", value: "FILE", help: "registries' accounts, as docker login and skopeo keep them" },
  },
  async run({ args, flags }, context) {
    const { signal } = context.interrupts;
    const registries = await registriesOf(flags, context);
    const platform = flags.platform === undefined ? undefined : parsePlatform(flags.platform);
    const generated = await generatePolicy({
      files: await readManifests(args, context),
      images: (reference) => readImageFacts(reference, { registries, platform, signal, onLayers: teller(context) }),
      namespace: flags.namespace ?? "default",
      workload: flags.workload,
      exec: flags["exec-allow"].map(parseCommandLine),
      execStdin: flags["exec-stdin"],
      logs: flags["log-allow"],
    });
    noteGenerated(context, generated);
    if (flags.output !== undefined) writePolicy(flags.output, generated.policy);
    print(context, policyJson(generated, flags.output), flags.output === undefined ? generated.policy : "");
  },
});

/** Throws NacreError `input`. */
export async function readManifests(
  paths: readonly string[],
  context: Pick<Context, "stdin">,
): Promise<readonly ManifestFile[]> {
  const files: ManifestFile[] = [];
  for (const path of paths) {
    files.push({ name: path === "-" ? "standard input" : path, text: await readInput(path, context) });
  }
  return files;
}

/** Words between spaces, or a JSON list where that is not enough. Throws NacreError `usage`. */
export function parseCommandLine(text: string): readonly string[] {
  const words: unknown = text.startsWith("[") ? parseJson(text) : text.split(/\s+/u).filter((word) => word !== "");
  if (Array.isArray(words) && words.length > 0 && words.every((word) => typeof word === "string")) return words;
  throw new NacreError("usage", `--exec-allow: expected a command or a JSON list of its words, got ${text}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function parsePlatform(text: string): Platform {
  const [, os, architecture] = /^([a-z0-9]+)\/([a-z0-9]+)$/u.exec(text) ?? [];
  if (os === undefined || architecture === undefined) {
    throw new NacreError("usage", `--platform: expected OS/ARCH such as linux/amd64, got ${JSON.stringify(text)}`);
  }
  return { os, architecture };
}

/** Says which images take long. */
export function teller(context: Context): (reference: string, bytes: number) => void {
  return (reference, bytes) => {
    if (bytes > SMALL)
      note(context, `${reference}: reading its accounts from ${Math.ceil(bytes / 1024 ** 2)} MiB of layers`);
  };
}

/** What the owner should know of the policy. */
export function noteGenerated(context: Context, { pod, digest, requests }: GeneratedPolicy): void {
  const { kind, name } = pod.workload;
  note(context, `policy of ${kind} ${name}: sha256 ${digest}; it allows the ${requests} requests of such a pod`);
  for (const text of pod.notes) note(context, `note: ${text}`);
}

function policyJson({ pod, policy, digest, requests }: GeneratedPolicy, output: string | undefined): object {
  return {
    workload: { kind: pod.workload.kind, name: pod.workload.name, namespace: pod.namespace },
    images: pod.containers.map(({ name, reference, image }) => ({
      container: name,
      reference,
      manifestDigests: image.manifestDigests,
    })),
    notes: pod.notes,
    requests,
    sha256: digest,
    ...(output === undefined ? { policy } : { file: output }),
  };
}

function writePolicy(path: string, policy: string): void {
  try {
    writeFileSync(path, policy);
  } catch (cause) {
    throw new NacreError("input", "the policy cannot be written", { cause });
  }
}
