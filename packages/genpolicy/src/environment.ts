import { GenPolicyError } from "./error.ts";
import { type Environment, expand } from "./expand.ts";
import { Fields } from "./fields.ts";
import { divided } from "./quantity.ts";
import { ADDRESS, join, PORT, type PolicyText, type Template, variable } from "./template.ts";
import type { Values } from "./values.ts";
import type { Workload } from "./workload.ts";

/** What containerd sets where an image says nothing. */
const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Where values of a container's variables come from. */
export interface EnvironmentSources {
  readonly workload: Workload;
  readonly serviceAccount: string;
  /** Those of the pod's namespace, each name once. */
  readonly values: readonly Values[];
  /** The image's own, `NAME=value`. */
  readonly image: readonly string[];
  /** The container's resources by `limits` and `requests`. */
  readonly resources: Readonly<Record<"limits" | "requests", Readonly<Record<string, string>>>>;
  readonly tty: boolean;
  /** Told what the owner should know. */
  readonly onNote: (note: string) => void;
}

/** A container's variables: those of the manifest for references in its command, and all that its process has. */
export interface ContainerEnvironment {
  readonly own: Environment;
  readonly all: Environment;
}

/** The environment as kubelet and containerd make it. @throws GenPolicyError */
export function containerEnvironment(container: Fields, sources: EnvironmentSources): ContainerEnvironment {
  const own = new Map<string, Template>();
  for (const from of container.children("envFrom")) addAll(own, from, sources);
  for (const entry of container.children("env")) {
    const name = entry.needed("name");
    if (name.includes("=")) throw new GenPolicyError("manifest", `${entry.at("name")}: a name with =`);
    const value = valueOf(entry, own, sources, container);
    if (value !== undefined) own.set(name, value);
    entry.done();
  }
  const all = new Map<string, Template>();
  for (const entry of sources.image) {
    const [name = "", ...value] = entry.split("=");
    all.set(name, [value.join("=")]);
  }
  if (!all.has("PATH")) all.set("PATH", [DEFAULT_PATH]);
  all.set("HOSTNAME", variable("hostname"));
  if (sources.tty) all.set("TERM", ["xterm"]);
  for (const [name, value] of own) all.set(name, value);
  return { own, all };
}

function addAll(own: Map<string, Template>, from: Fields, { values, onNote }: EnvironmentSources): void {
  const prefix = from.text("prefix") ?? "";
  for (const [field, kind] of [
    ["configMapRef", "ConfigMap"],
    ["secretRef", "Secret"],
  ] as const) {
    const reference = from.child(field);
    if (reference === undefined) continue;
    const found = lookUp(kind, reference, values);
    for (const [key, value] of found?.data ?? []) {
      // Keys that are no names of variables are passed over, as the kubelet does.
      if (!/^[A-Za-z_.-][A-Za-z0-9_.-]*$/u.test(prefix + key)) continue;
      own.set(prefix + key, [value.toString()]);
      if (kind === "Secret") noteOpen(value, `${found?.name ?? ""} (${from.path}, key ${key})`, onNote);
    }
  }
  from.done();
}

function lookUp(kind: "ConfigMap" | "Secret", reference: Fields, values: readonly Values[]): Values | undefined {
  const name = reference.needed("name");
  const found = values.find((one) => one.kind === kind && one.name === name);
  if (found === undefined && reference.flag("optional") !== true) {
    throw new GenPolicyError(
      "reference",
      `${reference.path}: no ${kind} ${name} in the files for the pod's namespace: give its manifest, too`,
    );
  }
  return found;
}

/** Undefined for an optional value that is not there. */
function valueOf(
  entry: Fields,
  own: Environment,
  sources: EnvironmentSources,
  container: Fields,
): Template | undefined {
  const from = entry.child("valueFrom");
  if (from === undefined) return expand(entry.text("value") ?? "", own);
  const field = from.child("fieldRef");
  const resource = from.child("resourceFieldRef");
  const configMap = from.child("configMapKeyRef");
  const secret = from.child("secretKeyRef");
  from.done();
  if (field !== undefined) return fieldValue(field, sources);
  if (resource !== undefined) return resourceValue(resource, sources, container);
  if (configMap !== undefined) return keyValue("ConfigMap", configMap, sources);
  if (secret !== undefined) return keyValue("Secret", secret, sources);
  throw new GenPolicyError("manifest", `${entry.at("valueFrom")}: no reference`);
}

function keyValue(
  kind: "ConfigMap" | "Secret",
  reference: Fields,
  { values, onNote }: EnvironmentSources,
): Template | undefined {
  const name = reference.needed("name");
  const key = reference.needed("key");
  const known = values.some((one) => one.kind === kind && one.name === name);
  if (kind === "Secret" && !known && reference.flag("optional") !== true) {
    onNote(
      `Secret ${name} is not in the files for the pod's namespace: its ${key} may be any sealed secret, and no other text (${reference.path})`,
    );
    return variable("sealedSecret");
  }
  const found = lookUp(kind, reference, values);
  const value = found?.data.get(key);
  if (value === undefined) {
    if (reference.flag("optional") === true) return undefined;
    throw new GenPolicyError("reference", `${reference.path}: no key ${key} in ${kind} ${found?.name ?? ""}`);
  }
  if (kind === "Secret") noteOpen(value, `${name} (${reference.path}, key ${key})`, onNote);
  return [value.toString()];
}

/** The policy is no secret; a sealed text is none either. */
function noteOpen(value: Buffer, what: string, onNote: EnvironmentSources["onNote"]): void {
  if (!value.toString().startsWith("sealed."))
    onNote(`the policy contains a value of Secret ${what}: the host knows both`);
}

function fieldValue(reference: Fields, { workload, serviceAccount }: EnvironmentSources): Template {
  reference.ignore("apiVersion");
  const path = reference.needed("fieldPath");
  reference.done();
  const simple: Readonly<Record<string, Template>> = {
    "metadata.name": variable("podName"),
    "metadata.namespace": variable("namespace"),
    "metadata.uid": variable("uid"),
    "spec.nodeName": variable("nodeName"),
    "spec.serviceAccountName": [serviceAccount],
    "status.podIP": variable("podAddress"),
    "status.podIPs": variable("podAddresses"),
    "status.hostIP": variable("hostAddress"),
    "status.hostIPs": variable("hostAddresses"),
  };
  const known = simple[path];
  if (known !== undefined) return known;
  const [, map, key = ""] = /^metadata\.(labels|annotations)\['([^']+)'\]$/u.exec(path) ?? [];
  if (map !== "labels" && map !== "annotations") {
    throw new GenPolicyError("unsupported", `${reference.at("fieldPath")}: ${path}`);
  }
  const value = workload[map][key];
  if (value !== undefined) return [value];
  // Controllers give their pods labels of their own.
  return map === "labels" && workload.kind !== "Pod" ? variable("label") : [""];
}

function resourceValue(reference: Fields, { resources }: EnvironmentSources, container: Fields): Template {
  const other = reference.text("containerName");
  if (other !== undefined && other !== container.text("name")) {
    throw new GenPolicyError("unsupported", `${reference.path}: resources of another container`);
  }
  const name = reference.needed("resource");
  const divisor = reference.has("divisor") ? reference.quantity("divisor") : "1";
  reference.done();
  const [kind = "", ...rest] = name.split(".");
  const resource = rest.join(".");
  if (kind !== "limits" && kind !== "requests") {
    throw new GenPolicyError("manifest", `${reference.at("resource")}: expected limits or requests, got ${name}`);
  }
  // Requests are limits where there are none; a node's limits where the manifest has none.
  const quantity = resources[kind][resource] ?? (kind === "requests" ? resources.limits[resource] : undefined);
  if (quantity === undefined) return kind === "requests" ? ["0"] : variable("allocatable");
  return [divided(quantity, divisor === "0" ? "1" : divisor)];
}

/** What the cluster may add: the services of the namespace, or that of Kubernetes itself alone. */
export function clusterVariables(serviceLinks: boolean): readonly PolicyText[] {
  const service = serviceLinks ? "[A-Z][A-Z0-9_]*" : "KUBERNETES";
  const protocol = "(?:tcp|udp|sctp)";
  const port = `${service}_PORT_${PORT}_(?:TCP|UDP|SCTP)`;
  return [
    { pattern: `${service}_SERVICE_HOST=${ADDRESS}` },
    { pattern: `${service}_SERVICE_PORT(?:_[A-Z0-9_]+)?=${PORT}` },
    { pattern: `(?:${service}_PORT|${port})=${protocol}://(?:${ADDRESS}|\\[${ADDRESS}\\]):${PORT}` },
    { pattern: `${port}_PROTO=${protocol}` },
    { pattern: `${port}_PORT=${PORT}` },
    { pattern: `${port}_ADDR=${ADDRESS}` },
  ];
}

/** Entries as a process has them. */
export function entries(environment: Environment): readonly Template[] {
  return [...environment].map(([name, value]) => join([`${name}=`], value));
}
