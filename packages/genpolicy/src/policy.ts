import type { PodContainer } from "./container.ts";
import type { Pod } from "./pod.ts";
import type { PolicyContainer, PolicyData, PolicyMount, PolicyPlace, PolicyStorage } from "./policy-data.ts";
import {
  CONTAINER_MOUNTS,
  FURTHER_MASKED_PATHS,
  MASKED_PATHS,
  READONLY_PATHS,
  SANDBOX_MOUNTS,
  SANDBOX_RESOLV_OPTIONS,
  SANDBOX_SYSCTLS,
  SHM_SIZE,
  SHM_STORAGE,
} from "./standard.ts";
import { policyText, type PolicyText } from "./template.ts";
import { copied, copiedPaths, mountSourcePattern, type VolumeMount, volumeStorage } from "./volumes.ts";

/** What the owner allows beyond the manifest. */
export interface PolicyOptions {
  /** Commands that may be run in any container. */
  readonly exec?: ReadonlyArray<readonly string[]>;
  /** Whether the host may write to such commands. */
  readonly execStdin?: boolean;
  /** Whether the host may read what containers write. */
  readonly logs?: boolean;
}

const SIGKILL = 9;
const SIGTERM = 15;

/** The data of the policy under which this pod runs, and nothing else does. */
export function podPolicy(pod: Pod, options: PolicyOptions = {}): PolicyData {
  const exec = options.exec ?? [];
  return {
    pod: {
      name: pod.workload.podName,
      namespace: pod.namespace,
      hostname: pod.hostname,
      named_by_itself: pod.hostnameIsName,
      storages: [{ ...SHM_STORAGE, options: [...SHM_STORAGE.options, SHM_SIZE], further_options: [] }],
      // A runtime says so to a command with a terminal.
      env: [...pod.clusterEnv, ...(exec.length > 0 ? ["TERM=xterm"] : [])],
      files: files(pod),
      exec,
      exec_stdin: options.execStdin ?? false,
      logs: options.logs ?? false,
      signals: [SIGKILL, SIGTERM],
    },
    sandbox: sandboxPlace(pod),
    containers: Object.fromEntries(
      pod.containers.map((container) => [container.name, policyContainer(container, pod)]),
    ),
  };
}

function files({ containers }: Pod): readonly PolicyText[] {
  const names = new Set(["resolv.conf"]);
  for (const { mounts, token } of containers) {
    for (const mount of [...mounts, ...(token === undefined ? [] : [token])]) {
      if (mount.kind === "copied") names.add(mount.name);
    }
  }
  return [copiedPaths(names)];
}

function sandboxPlace(pod: Pod): PolicyPlace {
  const source = mountSourcePattern(copied("/etc/resolv.conf", "ro"));
  return {
    name: "",
    images: ["pause"],
    shared_pid: false,
    readonly_root: true,
    mounts: byPlace(SANDBOX_MOUNTS),
    further_mounts: SANDBOX_RESOLV_OPTIONS.map((options) => ({
      destination: "/etc/resolv.conf",
      type: "bind",
      options,
      source,
    })),
    storages: [],
    masked_paths: MASKED_PATHS,
    further_masked_paths: FURTHER_MASKED_PATHS,
    readonly_paths: READONLY_PATHS,
    sysctls: pod.sysctls,
    further_sysctls: SANDBOX_SYSCTLS,
  };
}

function policyContainer(container: PodContainer, pod: Pod): PolicyContainer {
  const { image, account, mounts, token } = container;
  const env = container.env.map(policyText);
  const places = new Set(mounts.map(({ destination }) => destination));
  const groups = [...new Set([...pod.supplementalGroups, ...(pod.fsGroup === undefined ? [] : [pod.fsGroup])])];
  return {
    name: container.name,
    images: image.names,
    manifest_digests: image.manifestDigests,
    ...orderOf(container, pod),
    args: container.args.map(policyText),
    env: env.filter((text) => typeof text === "string"),
    env_patterns: env.filter((text) => typeof text !== "string"),
    cwd: container.cwd,
    tty: container.tty,
    stdin: container.stdin,
    user: {
      uid: account.uid,
      gid: account.gid,
      // A host that has not unpacked the image does not know the groups in its files.
      groups: unique([
        [...new Set([account.gid, ...account.groups, ...groups])],
        [...new Set([account.gid, ...groups])],
      ]),
    },
    no_new_privileges: container.noNewPrivileges,
    capabilities: container.capabilities,
    readonly_root: container.readOnlyRoot,
    shared_pid: pod.sharedPid,
    mounts: byPlace([
      ...CONTAINER_MOUNTS.filter(({ destination }) => !places.has(destination)),
      ...mounts.map(policyMount),
    ]),
    further_mounts: token === undefined ? [] : [policyMount(token)],
    storages: storages(mounts, pod.fsGroup),
    masked_paths: MASKED_PATHS,
    further_masked_paths: FURTHER_MASKED_PATHS,
    readonly_paths: READONLY_PATHS,
    sysctls: {},
    further_sysctls: {},
    termination_log: container.terminationLog,
    exec: container.exec,
    signals: container.stopSignal === undefined ? [] : [container.stopSignal],
  };
}

/** Init containers come one after the other and before all others; those that stay need only have begun. */
function orderOf(
  { name, init, restarts }: PodContainer,
  { containers }: Pod,
): Pick<PolicyContainer, "after" | "after_end_of" | "ends_before"> {
  const inits = containers.filter((one) => one.init);
  const before = init
    ? inits.slice(
        0,
        inits.findIndex((one) => one.name === name),
      )
    : inits;
  return {
    after: before.filter((one) => one.restarts).map((one) => one.name),
    after_end_of: before.filter((one) => !one.restarts).map((one) => one.name),
    // Those that stay may begin again beside all others.
    ends_before:
      init && !restarts
        ? containers.slice(containers.findIndex((one) => one.name === name) + 1).map((one) => one.name)
        : [],
  };
}

function byPlace(mounts: readonly PolicyMount[]): PolicyPlace["mounts"] {
  return Object.fromEntries(mounts.map(({ destination, ...mount }) => [destination, mount]));
}

function policyMount(mount: VolumeMount): PolicyMount {
  const { destination, type, options } = mount;
  return { destination, type, options, source: mountSourcePattern(mount) };
}

function storages(mounts: readonly VolumeMount[], fsGroup: number | undefined): readonly PolicyStorage[] {
  const byPlace = new Map<string, PolicyStorage>();
  for (const mount of mounts) {
    const storage = volumeStorage(mount, fsGroup);
    if (storage === undefined) continue;
    byPlace.set(mount.name, {
      ...storage,
      mount_point: mountSourcePattern(mount),
      // The size of a memory volume is the host's to say, as memory is.
      further_options: storage.driver === "ephemeral" ? [{ pattern: "size=[0-9]{1,20}" }] : [],
    });
  }
  return [...byPlace.values()];
}

function unique(lists: ReadonlyArray<readonly number[]>): ReadonlyArray<readonly number[]> {
  const seen = new Set<string>();
  return lists.filter((list) => {
    const key = JSON.stringify(list);
    return !seen.has(key) && seen.add(key);
  });
}
