import { type PodContainer, type PodDefaults, readContainer } from "./container.ts";
import type { Documents } from "./documents.ts";
import { clusterVariables } from "./environment.ts";
import { GenPolicyError } from "./error.ts";
import type { Fields } from "./fields.ts";
import type { ImageSource } from "./images.ts";
import type { PolicyText } from "./template.ts";
import { valuesFor } from "./values.ts";
import { readVolumes } from "./volumes.ts";
import { readWorkload, type Workload } from "./workload.ts";

/** A pod as its manifest, its images and Kubernetes' defaults make it. */
export interface Pod {
  readonly workload: Workload;
  readonly namespace: string;
  readonly hostname: PolicyText;
  readonly hostnameIsName: boolean;
  /** A hostname that such a pod could have. */
  readonly exampleHostname: string;
  readonly sharedPid: boolean;
  readonly fsGroup: number | undefined;
  readonly supplementalGroups: readonly number[];
  readonly sysctls: Readonly<Record<string, string>>;
  /** Variables that the cluster adds to any container. */
  readonly clusterEnv: readonly PolicyText[];
  /** Init containers first, in their order. */
  readonly containers: readonly PodContainer[];
  /** What the owner should know of it: values of Secrets that stand in the policy, and those that do not. */
  readonly notes: readonly string[];
}

export interface PodOptions {
  /** Where the manifest names no namespace. */
  readonly namespace: string;
  readonly images: ImageSource;
  /** `NAME` or `KIND/NAME`, where the documents hold several things that make pods. */
  readonly workload?: string | undefined;
}

/** Fields that are between Kubernetes and the host, or that only say where and for how long a pod runs. */
const IGNORED = [
  "activeDeadlineSeconds",
  "affinity",
  "dnsConfig",
  "dnsPolicy",
  "hostAliases",
  "imagePullSecrets",
  "nodeName",
  "nodeSelector",
  "os",
  "overhead",
  "preemptionPolicy",
  "priority",
  "priorityClassName",
  "readinessGates",
  "resources",
  "restartPolicy",
  "runtimeClassName",
  "schedulerName",
  "schedulingGates",
  "subdomain",
  "terminationGracePeriodSeconds",
  "tolerations",
  "topologySpreadConstraints",
];
const MAX_HOSTNAME = 63;
/** Names of containers, hostnames and namespaces (RFC 1123). */
const LABEL = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/u;

/** @throws GenPolicyError, and what the images throw */
export async function readPod(documents: Documents, { namespace, images, workload: chosen }: PodOptions): Promise<Pod> {
  const workload = readWorkload(documents, chosen);
  const { spec } = workload;
  const inNamespace = workload.namespace ?? namespace;
  if (!LABEL.test(inNamespace)) throw new GenPolicyError("manifest", `not a namespace: ${JSON.stringify(inNamespace)}`);
  const values = valuesFor(inNamespace, documents.values);
  refuseHosts(spec);
  const serviceAccount = spec.text("serviceAccountName") ?? spec.text("serviceAccount") ?? "default";
  const context = spec.child("securityContext");
  const notes = new Set<string>();
  const defaults: PodDefaults = {
    securityContext: context,
    volumes: readVolumes(spec, workload.claims, values),
    automountToken: spec.flag("automountServiceAccountToken") ?? true,
    environment: {
      workload,
      serviceAccount,
      values,
      onNote: (note) => notes.add(note),
    },
  };
  const containers: PodContainer[] = [];
  for (const [field, init] of [
    ["initContainers", true],
    ["containers", false],
  ] as const) {
    for (const container of spec.children(field)) {
      const image = await images(container.needed("image"));
      containers.push(readContainer(container, image, defaults, init));
    }
  }
  checkContainers(spec, containers);
  const sharedPid = spec.flag("shareProcessNamespace") ?? false;
  const pod: Pod = {
    workload,
    namespace: inNamespace,
    ...hostnameOf(spec, workload),
    sharedPid,
    ...podSecurity(context),
    clusterEnv: clusterVariables(spec.flag("enableServiceLinks") ?? true),
    containers,
    notes: [...notes],
  };
  spec.ignore(...IGNORED);
  spec.done();
  return pod;
}

function refuseHosts(spec: Fields): void {
  for (const name of ["hostNetwork", "hostPID", "hostIPC"]) spec.only(name, "a guest has not the host's", false);
  spec.only("hostUsers", "a guest has one user namespace", true);
  spec.only("setHostnameAsFQDN", "the cluster's domain is not in the manifest", false);
  for (const name of ["ephemeralContainers", "resourceClaims"]) {
    if (spec.children(name).length > 0) throw new GenPolicyError("unsupported", `${spec.at(name)}: not for a guest`);
  }
}

function checkContainers(spec: Fields, containers: readonly PodContainer[]): void {
  if (!containers.some(({ init }) => !init)) throw new GenPolicyError("manifest", `${spec.path}: no containers`);
  const names = containers.map(({ name }) => name);
  for (const [i, name] of names.entries()) {
    if (!LABEL.test(name)) {
      throw new GenPolicyError("manifest", `${spec.path}: container ${JSON.stringify(name)}: not a name`);
    }
    if (names.indexOf(name) !== i) throw new GenPolicyError("manifest", `${spec.path}: two containers ${name}`);
  }
}

/** A pod's hostname is its name, cut to what a hostname may be. */
function hostnameOf(
  spec: Fields,
  { podName, exampleName }: Workload,
): Pick<Pod, "hostname" | "hostnameIsName" | "exampleHostname"> {
  const given = spec.text("hostname");
  if (given !== undefined && !LABEL.test(given)) {
    throw new GenPolicyError("manifest", `${spec.at("hostname")}: not a name: ${JSON.stringify(given)}`);
  }
  if (given !== undefined) return { hostname: given, hostnameIsName: false, exampleHostname: given };
  const exampleHostname = exampleName.slice(0, MAX_HOSTNAME).replace(/[-.]+$/u, "");
  if (typeof podName === "string") return { hostname: exampleHostname, hostnameIsName: true, exampleHostname };
  const cut = exampleName.length > MAX_HOSTNAME - 12;
  return { hostname: cut ? { pattern: "[a-z0-9][-a-z0-9.]{0,62}" } : podName, hostnameIsName: true, exampleHostname };
}

function podSecurity(context: Fields | undefined): Pick<Pod, "fsGroup" | "supplementalGroups" | "sysctls"> {
  const result = {
    fsGroup: context?.integer("fsGroup"),
    supplementalGroups: context?.integers("supplementalGroups") ?? [],
    sysctls: Object.fromEntries(
      (context?.children("sysctls") ?? []).map((sysctl) => [sysctl.needed("name"), sysctl.text("value") ?? ""]),
    ),
  };
  context?.ignore("fsGroupChangePolicy", "runAsNonRoot", "runAsUser", "runAsGroup", "seLinuxChangePolicy");
  context?.only("supplementalGroupsPolicy", "groups of the image are merged", "Merge");
  context?.done();
  return result;
}
