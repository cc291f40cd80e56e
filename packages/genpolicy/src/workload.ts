import type { Documents } from "./documents.ts";
import { GenPolicyError } from "./error.ts";
import type { Fields } from "./fields.ts";
import type { PolicyText } from "./template.ts";
import { escapePattern } from "./template.ts";

/** A pod, or what a controller makes pods from. */
export interface Workload {
  readonly kind: string;
  /** Of the manifest's object. */
  readonly name: string;
  readonly namespace: string | undefined;
  /** What its pods are called. */
  readonly podName: PolicyText;
  /** A name that a pod of it could have. */
  readonly exampleName: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: Fields;
  /** Volumes that a claim of the controller stands behind. */
  readonly claims: readonly string[];
}

/** The letters of which controllers make suffixes (a digit or letter that makes no words). */
const RANDOM = "[bcdfghjklmnpqrstvwxz2456789]";
const MAX_NAME = 253;

/** The workload of the documents, which `chosen` (`NAME` or `KIND/NAME`) names where there are several. @throws GenPolicyError */
export function readWorkload({ workloads, others }: Documents, chosen?: string): Workload {
  const found = workloads.map(({ kind, fields }) => ({
    kind,
    fields,
    name: fields.child("metadata")?.text("name") ?? "",
  }));
  const meant = found.filter(
    ({ kind, name }) => chosen === undefined || chosen === name || chosen === `${kind}/${name}`,
  );
  const [only] = meant;
  const all = found.map(({ kind, name }) => `${kind}/${name}`).join(", ");
  if (only === undefined && chosen !== undefined) {
    throw new GenPolicyError("manifest", `no ${chosen} in the files; there are ${all}`);
  }
  if (only === undefined) {
    const kinds = others.length === 0 ? "" : `, only ${[...new Set(others)].join(", ")}`;
    throw new GenPolicyError("manifest", `no Pod and nothing that makes pods${kinds}`);
  }
  if (meant.length > 1) {
    throw new GenPolicyError("manifest", `a policy is for one kind of pod, and here are ${all}: say which`);
  }
  return workload(only.kind, only.fields);
}

function workload(kind: string, object: Fields): Workload {
  object.ignore("kind", "apiVersion", "status");
  const metadata = object.child("metadata");
  if (metadata === undefined) throw new GenPolicyError("manifest", `${object.path}: no metadata`);
  const generated = metadata.text("generateName");
  const name = metadata.text("name") ?? (kind === "Pod" ? (generated ?? "") : metadata.needed("name"));
  if (!/^[a-z0-9](?:[-a-z0-9.]*[a-z0-9-])?$/u.test(name)) {
    throw new GenPolicyError("manifest", `${metadata.at("name")}: not a name: ${JSON.stringify(name)}`);
  }
  const spec = needed(object, "spec");
  object.done();
  const template = templateOf(kind, spec);
  const job = kind === "CronJob" ? needed(needed(spec, "jobTemplate"), "spec") : spec;
  job.only("completionMode", "an indexed job's pods have hostnames and a variable of their own", "NonIndexed");
  const pod = kind === "Pod" ? metadata : template.child("metadata");
  return {
    kind,
    name,
    namespace: metadata.text("namespace") ?? (kind === "Pod" ? undefined : pod?.text("namespace")),
    ...podNames(kind, name, kind === "Pod" && metadata.text("name") === undefined),
    labels: pod?.map("labels") ?? {},
    annotations: pod?.map("annotations") ?? {},
    spec: kind === "Pod" ? spec : needed(template, "spec"),
    claims: kind === "StatefulSet" ? spec.children("volumeClaimTemplates").map(claimName) : [],
  };
}

function needed(fields: Fields, name: string): Fields {
  const child = fields.child(name);
  if (child === undefined) throw new GenPolicyError("manifest", `${fields.path}: no ${name}`);
  return child;
}

function templateOf(kind: string, spec: Fields): Fields {
  if (kind === "Pod") return spec;
  if (kind === "CronJob") return needed(needed(needed(spec, "jobTemplate"), "spec"), "template");
  return needed(spec, "template");
}

function claimName(claim: Fields): string {
  return needed(claim, "metadata").needed("name");
}

/** How controllers name pods; where a name is too long they cut it. */
function podNames(
  kind: string,
  name: string,
  generated: boolean,
): { readonly podName: PolicyText; readonly exampleName: string } {
  if (name.length > MAX_NAME) throw new GenPolicyError("manifest", `${name}: a name of more than ${MAX_NAME} letters`);
  const five = `${RANDOM}{5}`;
  const suffixed = (pattern: string, example: string, to = name): ReturnType<typeof podNames> => ({
    podName: { pattern: `${escapePattern(to)}${pattern}` },
    exampleName: `${to}${example}`,
  });
  switch (kind) {
    case "Pod":
      return generated ? suffixed(five, "x7k2p") : { podName: name, exampleName: name };
    case "Deployment":
      return suffixed(`-${RANDOM}{1,10}-${five}`, "-6b7f9c8d54-x7k2p");
    case "StatefulSet":
      return suffixed("-(?:0|[1-9][0-9]{0,9})", "-0");
    case "CronJob":
      return suffixed(`-[0-9]{8,11}-${five}`, "-29512345-x7k2p");
    case "Job":
      // The number is that of an indexed job.
      return suffixed(`-(?:[0-9]{1,6}-)?${five}`, "-x7k2p");
    default:
      return suffixed(`-${five}`, "-x7k2p");
  }
}
