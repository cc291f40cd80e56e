import { resolveAccount, type Account } from "./accounts.ts";
import { capabilities } from "./capabilities.ts";
import { containerEnvironment, entries, type EnvironmentSources } from "./environment.ts";
import { GenPolicyError } from "./error.ts";
import type { Fields } from "./fields.ts";
import type { ImageFacts } from "./images.ts";
import { commandLine, execCommands } from "./process.ts";
import { signalNumber } from "./signals.ts";
import type { Template } from "./template.ts";
import { cleanPath, copied, type Volume, type VolumeMount, volumeMounts } from "./volumes.ts";

/** One container of the pod, with all that a host will ask for it. */
export interface PodContainer {
  readonly name: string;
  /** As the manifest names it. */
  readonly reference: string;
  readonly image: ImageFacts;
  readonly init: boolean;
  /** An init container that stays. */
  readonly restarts: boolean;
  readonly args: readonly Template[];
  /** `NAME=value` */
  readonly env: readonly Template[];
  readonly cwd: string;
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly account: Account;
  readonly noNewPrivileges: boolean;
  readonly capabilities: readonly string[];
  readonly readOnlyRoot: boolean;
  readonly mounts: readonly VolumeMount[];
  /** Kubernetes' token, which a service account may be without. */
  readonly token: VolumeMount | undefined;
  readonly terminationLog: string;
  readonly exec: ReadonlyArray<readonly string[]>;
  readonly stopSignal: number | undefined;
}

/** What the pod says to all its containers. */
export interface PodDefaults {
  readonly securityContext: Fields | undefined;
  readonly volumes: ReadonlyMap<string, Volume>;
  readonly automountToken: boolean;
  readonly environment: Pick<EnvironmentSources, "workload" | "serviceAccount" | "values" | "onNote">;
}

const TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount";
const RESOURCES = /^(?:cpu|memory|ephemeral-storage)$/u;

/** Fields that are between Kubernetes and the host. */
const IGNORED = ["imagePullPolicy", "ports", "resizePolicy", "stdinOnce", "terminationMessagePolicy"];

/** @throws GenPolicyError */
export function readContainer(container: Fields, image: ImageFacts, pod: PodDefaults, init: boolean): PodContainer {
  const name = container.needed("name");
  const reference = container.needed("image");
  const restarts = container.text("restartPolicy") === "Always";
  container.only("restartPolicy", "expected Always, of an init container", ...(init ? ["Always"] : []));
  container.ignore(...IGNORED);
  const tty = container.flag("tty") ?? false;
  const { own, all } = containerEnvironment(container, {
    ...pod.environment,
    image: image.env,
    resources: readResources(container),
    tty,
  });
  const security = readSecurity(container, pod, image);
  const args = commandLine(container, image, own);
  const cwd = container.text("workingDir") ?? (image.workingDir === "" ? "/" : image.workingDir);
  const stop = container.child("lifecycle")?.text("stopSignal") ?? image.stopSignal;
  const terminationLog = container.text("terminationMessagePath") ?? "/dev/termination-log";
  const result: PodContainer = {
    name,
    reference,
    image,
    init,
    restarts,
    args,
    env: entries(all),
    cwd,
    tty,
    stdin: container.flag("stdin") ?? false,
    ...security,
    ...allMounts(container, image, pod, { readOnlyRoot: security.readOnlyRoot, terminationLog }),
    terminationLog,
    exec: execCommands(container),
    stopSignal: stop === undefined ? undefined : signalNumber(stop),
  };
  container.done();
  return result;
}

function readResources(container: Fields): EnvironmentSources["resources"] {
  const resources = container.child("resources");
  const limits = resources?.quantities("limits") ?? {};
  const requests = resources?.quantities("requests") ?? {};
  for (const name of [...Object.keys(limits), ...Object.keys(requests)]) {
    if (!RESOURCES.test(name)) {
      throw new GenPolicyError(
        "unsupported",
        `${container.at("resources")}: ${name} is a device or memory of the host`,
      );
    }
  }
  resources?.done();
  return { limits, requests };
}

type Security = Pick<PodContainer, "account" | "noNewPrivileges" | "capabilities" | "readOnlyRoot">;

function readSecurity(container: Fields, { securityContext: podContext }: PodDefaults, image: ImageFacts): Security {
  const own = container.child("securityContext");
  own?.only("privileged", "what a privileged container may do, the host decides", false);
  own?.only("procMount", "the guest's /proc is masked", "Default");
  for (const context of [own, podContext]) {
    context?.ignore("seccompProfile", "appArmorProfile");
    for (const name of ["seLinuxOptions", "windowsOptions"]) context?.only(name, "a guest has none");
  }
  const uid = own?.integer("runAsUser") ?? podContext?.integer("runAsUser");
  const gid = own?.integer("runAsGroup") ?? podContext?.integer("runAsGroup");
  const nonRoot = own?.flag("runAsNonRoot") ?? podContext?.flag("runAsNonRoot") ?? false;
  const user = uid === undefined ? image.user : String(uid);
  // A group alone stands beside the image's user.
  const account = resolveAccount(gid === undefined ? user : `${user.split(":")[0] || "0"}:${gid}`, image);
  if (nonRoot && account.uid === 0) {
    throw new GenPolicyError(
      "manifest",
      `${container.path}: runAsNonRoot, and the image's user is root: say runAsUser`,
    );
  }
  const result = {
    account,
    noNewPrivileges: own?.flag("allowPrivilegeEscalation") === false,
    capabilities: capabilities(own),
    readOnlyRoot: own?.flag("readOnlyRootFilesystem") ?? false,
  };
  own?.done();
  return result;
}

/** Mounts of the manifest, then the image's volumes and those that kubelet and containerd add, each place once. */
function allMounts(
  container: Fields,
  image: ImageFacts,
  pod: PodDefaults,
  { readOnlyRoot, terminationLog }: { readonly readOnlyRoot: boolean; readonly terminationLog: string },
): Pick<PodContainer, "mounts" | "token"> {
  const named = volumeMounts(container, pod.volumes);
  const taken = new Set(named.map(({ destination }) => destination));
  if (taken.size < named.length)
    throw new GenPolicyError("manifest", `${container.at("volumeMounts")}: two volumes at one place`);
  const added = [
    copied("/etc/hosts", "rw"),
    copied(cleanPath(terminationLog, container.path), "rw"),
    copied("/etc/hostname", readOnlyRoot ? "ro" : "rw"),
    copied("/etc/resolv.conf", readOnlyRoot ? "ro" : "rw"),
    ...image.volumes.map((path) => copied(cleanPath(path, `image ${container.needed("image")}`), "rw")),
  ].filter(({ destination }) => !taken.has(destination));
  const token = pod.automountToken && !taken.has(TOKEN) ? copied(TOKEN, "ro") : undefined;
  return { mounts: [...named, ...added], token };
}
