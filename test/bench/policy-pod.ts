import { readFileSync } from "node:fs";
import { join } from "node:path";
import { about, type CheckOptions, type Json, policyInput, type PolicyMethod } from "@nacre/agent-policy";
import { AgentService, fromJson } from "@nacre/protocols";

/** A rule and the input that it is asked with. */
export interface Question {
  readonly rule: string;
  readonly input: string;
  readonly whose: CheckOptions;
}

/** What the rules in `policy-pod.rego` are told of a pod. */
export interface PodPolicy {
  readonly pod: {
    readonly hostname_pattern: string;
    readonly name_pattern: string;
    readonly namespace_pattern: string;
    readonly storages: readonly PolicyStorage[];
    readonly env_patterns: readonly string[];
    readonly file_patterns: readonly string[];
  };
  readonly containers: Readonly<Record<string, PolicyContainer>>;
}

interface PolicyStorage {
  readonly driver: string;
  readonly fstype: string;
  readonly source: string;
  readonly mount_point: string;
  readonly option_pattern: string;
}

interface PolicyContainer {
  readonly name: string;
  readonly image: string;
  readonly args: string[];
  readonly env: string[];
  readonly env_patterns: string[];
  readonly cwd: string;
  readonly user: { readonly uid: number; readonly gid: number; readonly groups: number[] };
  readonly terminal: boolean;
  readonly no_new_privileges: boolean;
  readonly capabilities: string[];
  readonly readonly_root: boolean;
  readonly mounts: readonly PolicyMount[];
  readonly masked_paths: string[];
  readonly readonly_paths: string[];
  readonly sysctls: Record<string, string>;
  readonly exec: string[][];
}

interface PolicyMount {
  readonly destination: string;
  readonly type: string;
  readonly options: string[];
  readonly source_pattern: string;
}

const SHARED = "/run/kata-containers/shared/containers";
const SANDBOX_SHM = "/run/kata-containers/sandbox/shm";
const CAPABILITIES = ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID"];
const SYSTEM_MOUNTS: readonly PolicyMount[] = [
  mount("/proc", "proc", ["nosuid", "noexec", "nodev"], "proc"),
  mount("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"], "tmpfs"),
  mount("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"], "devpts"),
  mount("/dev/mqueue", "mqueue", ["nosuid", "noexec", "nodev"], "mqueue"),
  mount("/sys", "sysfs", ["nosuid", "noexec", "nodev", "ro"], "sysfs"),
  mount("/dev/shm", "bind", ["rbind"], SANDBOX_SHM),
];

export const POD_ID = "0f".repeat(32);

/** Id of a container by its number in the pod. */
export const containerId = (index: number): string => index.toString(16).padStart(2, "0").repeat(32);

/**
 * A pod of many containers with many mounts and variables: with the rules, a policy of the size that genpolicy makes, and
 * requests of 10 KB.
 */
export function largePod(containers = 8): PodPolicy {
  const names = Array.from({ length: containers }, (_, i) => `service-${i}`);
  return {
    pod: {
      hostname_pattern: "large-pod",
      name_pattern: "large-pod",
      namespace_pattern: "default",
      storages: [
        {
          driver: "ephemeral",
          fstype: "tmpfs",
          source: "shm",
          mount_point: SANDBOX_SHM,
          option_pattern: "noexec|nosuid|nodev|mode=1777|size=[0-9]+",
        },
      ],
      env_patterns: ["HOSTNAME=large-pod", "[A-Z0-9_]+_SERVICE_(?:HOST=[0-9.]{7,15}|PORT=[0-9]{1,5})"],
      file_patterns: [`${SHARED}/[0-9a-f]{64}-[0-9a-f]{16}-(?:hosts|hostname|resolv\\.conf|volume-[0-9]+(?:/.*)?)`],
    },
    containers: Object.fromEntries([pause(), ...names.map(container)].map((each) => [each.name, each])),
  };
}

function pause(): PolicyContainer {
  return {
    ...container("pause"),
    image: "pause",
    args: ["/pause"],
    env: [],
    mounts: SYSTEM_MOUNTS,
    no_new_privileges: true,
    readonly_root: true,
  };
}

function container(name: string): PolicyContainer {
  return {
    name,
    image: `registry.example/team/${name}:1.4.2`,
    args: [`/usr/bin/${name}`, "--config", `/etc/${name}/config.yaml`, "--listen", "0.0.0.0:8443"],
    env: [
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      ...Array.from({ length: 16 }, (_, i) => `SETTING_${i}=value of setting ${i} of ${name}`),
    ],
    env_patterns: ["BUILD=[0-9a-f]{40}"],
    cwd: "/",
    user: { uid: 1000, gid: 1000, groups: [1000] },
    terminal: false,
    no_new_privileges: true,
    capabilities: CAPABILITIES,
    readonly_root: false,
    mounts: [
      ...SYSTEM_MOUNTS,
      mount("/sys/fs/cgroup", "cgroup", ["nosuid", "noexec", "nodev", "relatime", "ro"], "cgroup"),
      ...["hosts", "hostname", "resolv.conf"].map((file) =>
        mount(`/etc/${file}`, "bind", ["rbind", "rprivate", "rw"], fileOf(file.replace(".", "\\."))),
      ),
      ...Array.from({ length: 6 }, (_, i) =>
        mount(`/etc/${name}/volume-${i}`, "bind", ["rbind", "rprivate", "ro"], fileOf(`volume-${i}`)),
      ),
    ],
    masked_paths: ["/proc/acpi", "/proc/kcore", "/proc/keys", "/sys/firmware"],
    readonly_paths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    sysctls: {},
    exec: [[`/usr/bin/${name}`, "--probe"]],
  };
}

/** The policy's text: the rules, and after them the pod. */
export function podPolicyText(policy: PodPolicy): string {
  const rules = readFileSync(join(import.meta.dirname, "policy-pod.rego"), "utf8");
  return `${rules}\npolicy_data := ${JSON.stringify(policy, undefined, 2)}\n`;
}

/** The requests that start a pod's sandbox, as a runtime sends them. */
export function sandboxQuestions(policy: PodPolicy): Question[] {
  const storages = policy.pod.storages.map(({ driver, fstype, source, mount_point }) => ({
    driver,
    fstype,
    source,
    mount_point,
  }));
  return [
    question("CreateSandbox", { sandbox_id: POD_ID, hostname: "large-pod", storages }),
    createQuestion(policy, "pause", POD_ID),
  ];
}

/** The request for a container that the policy has. */
export function createQuestion(policy: PodPolicy, name: string, id: string): Question {
  const { containers } = policy;
  const expected = containers[name];
  if (expected === undefined) throw new Error(`expected a container of the pod, got ${name}`);
  const root = `/run/kata-containers/${id}/rootfs`;
  const Annotations = annotations(name, expected.image);
  const capabilities = [...expected.capabilities];
  const services = name === "pause" ? [] : Array.from({ length: 40 }, (_, i) => serviceVariables(i)).flat();
  const request = {
    container_id: id,
    exec_id: id,
    storages: [
      {
        driver: "image_guest_pull",
        driver_options: [`image_guest_pull=${JSON.stringify({ metadata: Annotations })}`],
        source: expected.image,
        fstype: "overlay",
        mount_point: root,
      },
    ],
    OCI: {
      Version: "1.0.2-dev",
      Process: {
        Args: expected.args,
        Env: [...expected.env, ...(name === "pause" ? [] : ["HOSTNAME=large-pod"]), ...services],
        Cwd: expected.cwd,
        User: { UID: expected.user.uid, GID: expected.user.gid, AdditionalGids: expected.user.groups },
        NoNewPrivileges: expected.no_new_privileges,
        Capabilities: { Bounding: capabilities, Effective: capabilities, Permitted: capabilities },
      },
      Root: { Path: root, Readonly: expected.readonly_root },
      Mounts: expected.mounts.map(({ destination, type, options, source_pattern }) => ({
        destination,
        type,
        options,
        source: sourceOf(source_pattern, id),
      })),
      Annotations,
      Linux: {
        CgroupsPath: `/kubepods/pod/${id}`,
        Namespaces: [{ Type: "ipc" }, { Type: "uts" }, { Type: "mount" }],
        MaskedPaths: expected.masked_paths,
        ReadonlyPaths: expected.readonly_paths,
        Resources: { CPU: { Shares: "512" }, Memory: { Limit: "67108864" } },
      },
    },
  };
  return question("CreateContainer", request);
}

/** A question about a container that is there. */
export function containerQuestion(method: keyof typeof AgentService.methods, id: string): Question {
  return question(method, { container_id: id });
}

function question(name: keyof typeof AgentService.methods, request: Json): Question {
  const method: PolicyMethod = AgentService.methods[name];
  const rule = method.requestType.replace("grpc.", "");
  const message: object = fromJson(method.requestType, request);
  return { rule, input: policyInput(method, message), whose: about(rule, message) };
}

function annotations(name: string, image: string): Record<string, string> {
  const isSandbox = name === "pause";
  return {
    "io.katacontainers.pkg.oci.bundle_path": `/run/containerd/io.containerd.runtime.v2.task/k8s.io/${name}`,
    "io.katacontainers.pkg.oci.container_type": isSandbox ? "pod_sandbox" : "pod_container",
    "io.kubernetes.cri.container-type": isSandbox ? "sandbox" : "container",
    "io.kubernetes.cri.sandbox-id": POD_ID,
    "io.kubernetes.cri.sandbox-name": "large-pod",
    "io.kubernetes.cri.sandbox-namespace": "default",
    "io.kubernetes.cri.sandbox-uid": "11111111-2222-3333-4444-555555555555",
    ...(isSandbox ? {} : { "io.kubernetes.cri.container-name": name, "io.kubernetes.cri.image-name": image }),
  };
}

function serviceVariables(i: number): string[] {
  return [`BACKEND_${i}_SERVICE_HOST=10.96.12.${i}`, `BACKEND_${i}_SERVICE_PORT=${8000 + i}`];
}

function fileOf(name: string): string {
  return `${SHARED}/$(container)-[0-9a-f]{16}-${name}`;
}

function sourceOf(pattern: string, id: string): string {
  return pattern.replace("$(container)", id).replace("[0-9a-f]{16}", "0123456789abcdef").replaceAll("\\", "");
}

function mount(destination: string, type: string, options: string[], source_pattern: string): PolicyMount {
  return { destination, type, options, source_pattern };
}
