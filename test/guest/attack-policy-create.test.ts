import { AgentService, type grpc, type Init } from "@nacre/protocols";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { SHARED } from "../fixtures/attacked-guest.ts";
import { GUEST_KIND } from "../fixtures/guest-kind.ts";
import { PolicedGuest } from "../fixtures/policed-guest.ts";
import {
  annotated,
  type Create,
  linux,
  metadata,
  mount,
  mounted,
  oci,
  ofImage,
  process,
  pull,
  storage,
  volumes,
} from "../fixtures/spoilt.ts";

const { CreateContainer, StartContainer } = AgentService.methods;

/** What a host knows. */
interface Host {
  readonly id: string;
  /** A container that runs. */
  readonly tool: string;
  readonly sandbox: string;
}

type Attack = readonly [what: string, spoil: (request: Create, host: Host) => Init<Create>];

const KATA = "/run/kata-containers";
const WEB = "registry.example/pod/web:1";
const TOOL = "registry.example/pod/tool:1";
const TYPE = "io.kubernetes.cri.container-type";
const CRIO_TYPE = "io.kubernetes.cri-o.ContainerType";

/** One of the attacks that confidential-dot-ai/c8s#236 lists: the policy sees one thing and another one runs. */
const KINDS: readonly Attack[] = [
  ["a sandbox by containerd's annotation", (r) => annotated(r, { [TYPE]: "sandbox" })],
  ["a sandbox by CRI-O's annotation, a container by containerd's", (r) => annotated(r, { [CRIO_TYPE]: "sandbox" })],
  ["a container by both", (r) => annotated(r, { [CRIO_TYPE]: "container" })],
  ["CRI-O's annotation alone", (r) => annotated(r, { [TYPE]: undefined, [CRIO_TYPE]: "container" })],
  ["no kind", (r) => annotated(r, { [TYPE]: undefined })],
  ["a kind of another case", (r) => annotated(r, { [TYPE]: "Container" })],
  [
    "a sandbox by Kata's annotation",
    (r) => annotated(r, { "io.katacontainers.pkg.oci.container_type": "pod_sandbox" }),
  ],
  ["a sandbox in the storage alone", (r) => metadata(r, { ...r.OCI?.Annotations, [TYPE]: "sandbox" })],
  ["a sandbox for CRI-O in the storage alone", (r) => metadata(r, { ...r.OCI?.Annotations, [CRIO_TYPE]: "sandbox" })],
  ["nothing in the storage", (r) => metadata(r, {})],
  [
    "an option beside the metadata",
    (r) => pull(r, ({ driver_options }) => ({ driver_options: [...driver_options, "x=1"] })),
  ],
  [
    "another option first",
    (r) => pull(r, ({ driver_options }) => ({ driver_options: ["image_guest_pull={}", ...driver_options] })),
  ],
  ["no option", (r) => pull(r, () => ({ driver_options: [] }))],
  [
    "more than metadata",
    (r) => pull(r, ({ driver_options: [one = ""] }) => ({ driver_options: [`${one.slice(0, -1)},"x":1}`] })),
  ],
  ["metadata that is no JSON", (r) => pull(r, () => ({ driver_options: ["image_guest_pull={"] }))],
  ["another pod", (r) => annotated(r, { "io.kubernetes.cri.sandbox-name": "other" })],
  ["another namespace", (r) => annotated(r, { "io.kubernetes.cri.sandbox-namespace": "default" })],
  ["another sandbox", (r, { tool }) => annotated(r, { "io.kubernetes.cri.sandbox-id": tool })],
  ["an annotation that runtimes obey", (r) => annotated(r, { "run.oci.keep_original_groups": "1" })],
  ["a property for systemd", (r) => annotated(r, { "org.systemd.property.CPUWeight": "1" })],
  ["the sandbox's container by its id", (r, { sandbox }) => ({ ...r, container_id: sandbox })],
];

const NAMES: readonly Attack[] = [
  ["another container's name", (r) => annotated(r, { "io.kubernetes.cri.container-name": "tool" })],
  ["an init container's name", (r) => annotated(r, { "io.kubernetes.cri.container-name": "prepare" })],
  ["a name that no container has", (r) => annotated(r, { "io.kubernetes.cri.container-name": "wen" })],
  ["the name of the sandbox's", (r) => annotated(r, { "io.kubernetes.cri.container-name": "" })],
  ["a name of languages", (r) => annotated(r, { "io.kubernetes.cri.container-name": "__proto__" })],
  ["no name", (r) => annotated(r, { "io.kubernetes.cri.container-name": undefined })],
  ...["__proto__", "constructor", "pstate", "sandbox", "pod", "begun", "/pstate/pod", "pod/name", "..", ""].map(
    (id): Attack => [`the id ${JSON.stringify(id)}`, (r) => ({ ...r, container_id: id })],
  ),
  ["the id of a container that runs", (r, { tool }) => ({ ...r, container_id: tool })],
  ["an id with a path behind it", (r) => ({ ...r, container_id: `${r.container_id}/rootfs` })],
  ["an id with a line behind it", (r) => ({ ...r, container_id: `${r.container_id}\n` })],
  ["an id in capitals", (r) => ({ ...r, container_id: r.container_id.toUpperCase() })],
];

const IMAGES: readonly Attack[] = [
  // confidential-dot-ai/c8s#236
  ["a storage that names another image than the annotation", (r) => pull(r, () => ({ source: TOOL }))],
  ["an annotation for CRI-O that names another image", (r) => annotated(r, { "io.kubernetes.cri-o.ImageName": TOOL })],
  // kata-containers#11354, #10088: the policy says which image
  ["the other allowed image", (r) => ofImage(r, TOOL)],
  ["another tag", (r) => ofImage(r, "registry.example/pod/web:2")],
  ["another registry", (r) => ofImage(r, "evil.example/pod/web:1")],
  ["any digest", (r) => ofImage(r, `registry.example/pod/web@sha256:${"0".repeat(64)}`)],
  ["the tag with a digest", (r) => ofImage(r, `${WEB}@sha256:${"0".repeat(64)}`)],
  ["the pause image", (r) => ofImage(r, "pause")],
  ["no image", (r) => ofImage(r, "")],
  // microsoft/kata-containers#518
  [
    "a second guest pull to another place",
    (r) => storage(r, { ...pulled(r), mount_point: `${KATA}/${r.container_id}/2` }),
  ],
  ["a second guest pull to the same place", (r) => storage(r, pulled(r))],
  ["a second guest pull of the other image", (r) => storage(r, { ...pulled(r), source: TOOL })],
  ["the other image first", (r) => storage(r, { ...pulled(r), source: TOOL }, 0)],
  ["the pull twice in the place of the volume", (r) => ({ ...r, storages: [pulled(r), pulled(r)] })],
  ["a pull of another type", (r) => pull(r, () => ({ fstype: "ext4" }))],
  ["a pull with mount options", (r) => pull(r, () => ({ options: ["lowerdir=/"] }))],
  ["a pull that is shared", (r) => pull(r, () => ({ shared: true }))],
  ["a pull with a group", (r) => pull(r, () => ({ fs_group: { group_id: 0, group_change_policy: 0 } }))],
];

const pulled = ({ storages: [first] }: Create): grpc.Storage => {
  if (first === undefined) throw new Error("no storage");
  return first;
};
const withoutPull = (request: Create): Create => ({ ...request, storages: request.storages.slice(1) });
const rootedAt = (request: Create, Path: string): Create => oci(request, () => ({ Root: { Path, Readonly: true } }));

/** c8s#236 again: the host leaves the pull out and brings a root of its own, or has one mounted before. */
const ROOTS: readonly Attack[] = [
  ["no storage", (r) => ({ ...r, storages: [] })],
  ["no pull", withoutPull],
  ["no pull, the root of another container", (r, { tool }) => rootedAt(withoutPull(r), `${KATA}/${tool}/rootfs`)],
  ["no pull, a folder that was copied in", (r) => rootedAt(withoutPull(r), `${SHARED}/${r.container_id}-root`)],
  ["no pull, the guest itself", (r) => rootedAt(withoutPull(r), "/")],
  ["no pull, the pause container's root", (r, { sandbox }) => rootedAt(withoutPull(r), `${KATA}/${sandbox}/rootfs`)],
  ["the root of another container", (r, { tool }) => rootedAt(r, `${KATA}/${tool}/rootfs`)],
  ["the shared folder", (r) => rootedAt(r, SHARED)],
  ["a relative root", (r) => rootedAt(r, "rootfs")],
  ["a root with a step up", (r) => rootedAt(r, `${KATA}/x/../${r.container_id}/rootfs`)],
  ["no root", (r) => oci(r, () => ({ Root: null }))],
  ["a root to write to", (r) => oci(r, ({ Root }) => ({ Root: { Path: Root?.Path ?? "", Readonly: false } }))],
  [
    "the pull where another container has its root",
    (r, { tool }) => pull(r, () => ({ mount_point: `${KATA}/${tool}/rootfs` })),
  ],
  ["the pull where the pod has its memory", (r) => pull(r, () => ({ mount_point: `${KATA}/sandbox/shm` }))],
  ["the pull's place with a slash", (r) => pull(r, ({ mount_point }) => ({ mount_point: `${mount_point}/` }))],
  ["a folder in the pull's place before it", (r) => storage(r, { mount_point: pulled(r).mount_point }, 0)],
  ["memory in the pull's place before it", (r) => storage(r, tmpfs(pulled(r).mount_point), 0)],
  ["a folder over the pull", (r) => storage(r, { mount_point: pulled(r).mount_point })],
  ["a folder in the image", (r) => storage(r, { mount_point: `${pulled(r).mount_point}/bin` })],
  ["a folder above the root", (r) => storage(r, { mount_point: `${KATA}/${r.container_id}` })],
];

const tmpfs = (mount_point: string): Partial<grpc.Storage> => ({
  driver: "ephemeral",
  source: "tmpfs",
  fstype: "tmpfs",
  mount_point,
});
const data = (sandbox: string): string => `${SHARED}/${sandbox}/rootfs/local/data`;

/** Each driver that upstream's agent has, and options by which it chooses one. */
const DRIVERS: ReadonlyArray<readonly [string, Partial<grpc.Storage>]> = [
  ["overlayfs", { driver: "overlayfs", fstype: "overlay", options: ["lowerdir=/run/evil"] }],
  ["overlayfs", { driver: "overlayfs", fstype: "overlay", options: ["io.katacontainers.fs-opt.overlay-rw"] }],
  ["overlayfs", { driver: "overlayfs", fstype: "overlay", options: ["io.katacontainers.fs-opt.layer=L3gsZXJvZnM="] }],
  ["overlayfs", { driver: "overlayfs", driver_options: ["io.katacontainers.volume.overlayfs.create_directory=/x"] }],
  ["blk", { driver: "blk", source: "02/03", fstype: "ext4" }],
  ["blk", { driver: "blk", source: "/dev/vda", fstype: "ext4", driver_options: ["encryption_key=ephemeral"] }],
  ["blk", { driver: "blk", source: "/dev/vda", fstype: "ext4", driver_options: ["create_filesystem=true"] }],
  ["blk", { driver: "blk", source: "/dev/vda", fstype: "erofs", driver_options: ["verity_info={}"] }],
  ["blk-ccw", { driver: "blk-ccw", source: "0.0.0001", fstype: "ext4" }],
  ["mmioblk", { driver: "mmioblk", source: "/dev/vda", fstype: "ext4" }],
  ["nvdimm", { driver: "nvdimm", source: "/dev/pmem0", fstype: "ext4" }],
  ["scsi", { driver: "scsi", source: "0:0", fstype: "ext4" }],
  ["9p", { driver: "9p", source: "kataShared", fstype: "9p" }],
  ["virtio-fs", { driver: "virtio-fs", source: "kataShared", fstype: "virtiofs" }],
  ["nfs", { driver: "nfs", source: "192.0.2.1:/", fstype: "nfs" }],
  ["bind", { driver: "bind", source: "/etc", fstype: "bind", options: ["rbind"] }],
  ["watchable-bind", { driver: "watchable-bind", source: SHARED, fstype: "bind", options: ["ro"] }],
  ["erofs.multi-layer", { driver: "erofs.multi-layer", source: "/dev/vda", fstype: "erofs" }],
  ["by options", { options: ["X-kata.overlay-upper", "X-kata.multi-layer=true"] }],
  ["by options", { options: ["X-kata.overlay-lower", "X-kata.multi-layer=true"] }],
  ["no driver", { driver: "" }],
  ["huge pages", { driver: "ephemeral", source: "nodev", fstype: "hugetlbfs", options: ["pagesize=2M", "size=1G"] }],
];

const STORAGES: readonly Attack[] = [
  ...DRIVERS.map(([name, over]): Attack => [
    `${name} ${JSON.stringify(over)}`,
    (r) => storage(r, { mount_point: `${SHARED}/mine`, ...over }),
  ]),
  ...DRIVERS.map(([name, over]): Attack => [
    `${name} in the place of the volume ${JSON.stringify(over)}`,
    (r) => volumes(r, () => over),
  ]),
  ["another folder", (r) => storage(r, { mount_point: `${SHARED}/mine` })],
  ["the volume left out", (r) => ({ ...r, storages: [pulled(r)] })],
  ["the volume twice", (r, { sandbox }) => storage(r, { mount_point: data(sandbox), options: ["mode=0777"] })],
  ["the pod's memory over itself", (r) => storage(r, tmpfs(`${KATA}/sandbox/shm`))],
  ["memory over the volume in use", (r, { sandbox }) => storage(r, tmpfs(data(sandbox)))],
  ["another container's memory", (r) => storage(r, tmpfs(`${KATA}/sandbox/ephemeral/scratch`))],
  ["the volume set-user-id", (r) => volumes(r, () => ({ options: ["mode=4777"] }))],
  ["the volume set-user-id as well", (r) => volumes(r, ({ options }) => ({ options: [...options, "mode=6777"] }))],
  ["the volume of a group", (r) => volumes(r, ({ options }) => ({ options: [...options, "fsgid=0"] }))],
  ["the volume without its mode", (r) => volumes(r, () => ({ options: [] }))],
  ["the volume shared", (r) => volumes(r, () => ({ shared: true }))],
  ["the volume with a group", (r) => volumes(r, () => ({ fs_group: { group_id: 1, group_change_policy: 1 } }))],
  ["the volume with driver options", (r) => volumes(r, () => ({ driver_options: ["encryption_key=ephemeral"] }))],
  ["the volume by a step up", (r, { sandbox }) => volumes(r, () => ({ mount_point: `${data(sandbox)}/../data` }))],
  ["the volume elsewhere", (r) => volumes(r, () => ({ mount_point: `${SHARED}/${r.container_id}/rootfs/local/data` }))],
];

const settings = (id: string): string => `${SHARED}/${id}-${"0".repeat(16)}-settings`;

const MOUNTS: readonly Attack[] = [
  // confidential-dot-ai/c8s#280
  ["a relative source", (r) => mount(r, "/etc/settings", { source: "rootfs/etc" })],
  [
    "a source with steps up",
    (r) => mount(r, "/etc/settings", { source: `${settings(r.container_id)}/../../../sandbox` }),
  ],
  ["a step up alone", (r) => mount(r, "/etc/settings", { source: "../" })],
  ["no source", (r) => mount(r, "/etc/settings", { source: "" })],
  ["another container's files", (r, { tool }) => mount(r, "/etc/settings", { source: settings(tool) })],
  ["another container's root", (r, { tool }) => mount(r, "/etc/settings", { source: `${KATA}/${tool}/rootfs` })],
  ["the guest's files", (r) => mount(r, "/etc/settings", { source: "/etc" })],
  ["files below the volume", (r) => mount(r, "/etc/settings", { source: `${settings(r.container_id)}/x` })],
  ["the pod's memory in the volume's place", (r) => mount(r, "/data", { source: `${KATA}/sandbox/shm` })],
  ["a copied folder in the volume's place", (r) => mount(r, "/data", { source: `${SHARED}/${r.container_id}-data` })],
  ["a volume that the guest keeps, as a bind", (r) => mount(r, "/data", { type: "bind" })],
  ["another folder of volumes", (r, { sandbox }) => mount(r, "/data", { source: `${data(sandbox)}/..` })],
  ["settings to write to", (r) => mount(r, "/etc/settings", { options: ["rbind", "rprivate", "rw"] })],
  ["shared settings", (r) => mount(r, "/etc/settings", { options: ["rbind", "rshared", "ro"] })],
  ["settings with one option more", (r) => mount(r, "/etc/settings", { options: ["rbind", "rprivate", "ro", "suid"] })],
  ["settings elsewhere", (r) => mount(r, "/etc/settings", { destination: "/bin" })],
  [
    "settings left out",
    (r) => oci(r, ({ Mounts }) => ({ Mounts: Mounts.filter((one) => one.destination !== "/etc/settings") })),
  ],
  ["no mounts", (r) => oci(r, () => ({ Mounts: [] }))],
  ["a mount more", (r) => mounted(r, { destination: "/x", source: settings(r.container_id) })],
  ["a mount over a program", (r) => mounted(r, { destination: "/bin/report", source: settings(r.container_id) })],
  ["a mount over everything", (r) => mounted(r, { destination: "/", source: settings(r.container_id) })],
  ["a mount over the volume", (r) => mounted(r, { destination: "/data", source: settings(r.container_id) })],
  ["a mount below the volume", (r) => mounted(r, { destination: "/data/..", source: settings(r.container_id) })],
  ["a mount in /proc", (r) => mounted(r, { destination: "/proc/self/attr", source: settings(r.container_id) })],
  [
    "a device file system",
    (r) => mounted(r, { destination: "/mnt", type: "devtmpfs", source: "devtmpfs", options: [] }),
  ],
  ["the guest's processes", (r) => mount(r, "/proc", { type: "bind", source: "/proc", options: ["rbind"] })],
  ["a /sys to write to", (r) => mount(r, "/sys", { options: ["nosuid", "noexec", "nodev", "rw"] })],
  ["a /dev from the guest", (r) => mount(r, "/dev", { type: "bind", source: "/dev", options: ["rbind"] })],
  ["what is above a mount after it", (r) => oci(r, ({ Mounts }) => ({ Mounts: Mounts.toReversed() }))],
];

const device: grpc.Device = { id: "d", type: "blk", vm_path: "", container_path: "/dev/d", options: [] };
const entry = (Path: string): grpc.Hook => ({ Path, Args: [Path], Env: [], Timeout: 0n });
const HOOKS = ["Prestart", "Poststart", "Poststop", "CreateRuntime", "CreateContainer", "StartContainer"] as const;

const DEVICES: readonly Attack[] = [
  // kata-containers#11624, #12186: what CDI puts in
  ["a device of CDI", (r) => annotated(r, { "cdi.k8s.io/vfio0": "nvidia.com/gpu=0" })],
  ["a device of CDI by the environment", (r) => env(r, "VISIBLE_CDI_DEVICES=nvidia.com/gpu=all")],
  ["a device by NVIDIA's variable", (r) => env(r, "NVIDIA_VISIBLE_DEVICES=all")],
  ["a device of the host's", (r) => ({ ...r, devices: [device] })],
  ["a card", (r) => ({ ...r, devices: [{ ...device, type: "vfio-pci-gk", options: ["0000:00:01.0=02"] }] })],
  ["the image store", (r) => ({ ...r, devices: [{ ...device, container_path: "/dev/trusted_store" }] })],
  ["a node for the guest's memory", (r) => linux(r, () => ({ Devices: [node("/dev/mem")] }))],
  ["a node for the image store", (r) => linux(r, () => ({ Devices: [node("/dev/trusted_store")] }))],
  [
    "all devices opened",
    (r) => linux(r, ({ Resources }) => ({ Resources: resources(Resources, { Devices: [allow] }) })),
  ],
  ["block limits", (r) => linux(r, ({ Resources }) => ({ Resources: resources(Resources, { BlockIO: bulk }) }))],
];

const node = (Path: string): grpc.LinuxDevice => ({
  Path,
  Type: "c",
  Major: 1n,
  Minor: 1n,
  FileMode: 0o666,
  UID: 0,
  GID: 0,
});
const allow: grpc.LinuxDeviceCgroup = { Allow: true, Type: "a", Major: 0n, Minor: 0n, Access: "rwm" };
const bulk: grpc.LinuxBlockIO = {
  Weight: 10,
  LeafWeight: 0,
  WeightDevice: [],
  ThrottleReadBpsDevice: [],
  ThrottleWriteBpsDevice: [],
  ThrottleReadIOPSDevice: [],
  ThrottleWriteIOPSDevice: [],
};

function resources(all: grpc.LinuxResources | null, over: Partial<grpc.LinuxResources>): grpc.LinuxResources {
  if (all === null) throw new Error("no resources");
  return { ...all, ...over };
}

function env(request: Create, ...entries: readonly string[]): Create {
  return process(request, ({ Env }) => ({ Env: [...Env, ...entries] }));
}

const PROCESSES: readonly Attack[] = [
  ...HOOKS.map((kind): Attack => [
    `a ${kind} hook`,
    (r) => oci(r, () => ({ Hooks: { ...emptyHooks(), [kind]: [entry("/bin/sh")] } })),
  ]),
  ["empty hooks", (r) => oci(r, () => ({ Hooks: emptyHooks() }))],
  ["other arguments", (r) => process(r, () => ({ Args: ["report", "web", "--evil"] }))],
  ["another program", (r) => process(r, () => ({ Args: ["sh", "-c", "report web --serve"] }))],
  ["one argument more", (r) => process(r, ({ Args }) => ({ Args: [...Args, ""] }))],
  ["one argument less", (r) => process(r, ({ Args }) => ({ Args: Args.slice(0, -1) }))],
  ["no arguments", (r) => process(r, () => ({ Args: [] }))],
  ["a library before all others", (r) => env(r, "LD_PRELOAD=/etc/settings/colour")],
  ["a way to other libraries", (r) => env(r, "LD_LIBRARY_PATH=/etc/settings")],
  ["options of an interpreter", (r) => env(r, "NODE_OPTIONS=--require=/etc/settings/colour")],
  ["a variable like the cluster's", (r) => env(r, "EVIL_SERVICE_HOST=10.0.0.1")],
  ["the cluster's with another value", (r) => env(r, "KUBERNETES_SERVICE_HOST=evil.example")],
  ["an entry without a value", (r) => env(r, "MODE")],
  ["a second line", (r) => env(r, "KUBERNETES_SERVICE_PORT=443\nLD_PRELOAD=/x")],
  ["a variable changed", (r) => process(r, ({ Env }) => ({ Env: Env.map((one) => one.replace("honest", "evil")) }))],
  ["a variable twice", (r) => env(r, "MODE=evil")],
  [
    "a variable of the image changed",
    (r) => process(r, ({ Env }) => ({ Env: Env.map((one) => one.replace("/bin:", "/data:")) })),
  ],
  ["a variable left out", (r) => process(r, ({ Env }) => ({ Env: Env.filter((one) => !one.startsWith("MODE=")) }))],
  ["no variables", (r) => process(r, () => ({ Env: [] }))],
  ["another folder", (r) => process(r, () => ({ Cwd: "/etc/settings" }))],
  ["no folder", (r) => process(r, () => ({ Cwd: "" }))],
  // kata-containers#11162, #11269, #13105: the image's user was lost, and containers ran as root
  ["root", (r) => user(r, { UID: 0 })],
  ["the image's user, which the manifest overrides", (r) => user(r, { UID: 65_534 })],
  ["another group", (r) => user(r, { GID: 0 })],
  ["one group more", (r) => user(r, { AdditionalGids: [1000, 0] })],
  ["no groups", (r) => user(r, { AdditionalGids: [] })],
  ["a user by name", (r) => user(r, { Username: "root" })],
  ["no user", (r) => process(r, () => ({ User: null }))],
  ["a user beside the process", (r) => ({ ...r, string_user: { uid: "0", gid: "0", additionalGids: [] } })],
  ["new privileges", (r) => process(r, () => ({ NoNewPrivileges: false }))],
  ...(["Bounding", "Effective", "Permitted", "Inheritable", "Ambient"] as const).map((set): Attack => [
    `a capability more: ${set}`,
    (r) => capabilities(r, (all) => ({ [set]: [...all[set], "CAP_SYS_ADMIN"] })),
  ]),
  ["a capability less", (r) => capabilities(r, () => ({ Bounding: [] }))],
  ["no capabilities", (r) => process(r, () => ({ Capabilities: null }))],
  ["a terminal", (r) => process(r, () => ({ Terminal: true }))],
  ["a limit", (r) => process(r, () => ({ Rlimits: [{ Type: "RLIMIT_CORE", Hard: 1n, Soft: 1n }] }))],
  ["another profile", (r) => process(r, () => ({ ApparmorProfile: "unconfined" }))],
  ["a label", (r) => process(r, () => ({ SelinuxLabel: "system_u:system_r:spc_t:s0" }))],
  ["out of the memory killer's reach", (r) => process(r, () => ({ OOMScoreAdj: -1000n }))],
  ["no process", (r) => oci(r, () => ({ Process: null }))],
  ["another host's name", (r) => oci(r, () => ({ Hostname: "evil" }))],
  ["streams of its own", (r) => ({ ...r, stdout_port: 5000 })],
];

function emptyHooks(): grpc.Hooks {
  return { Prestart: [], Poststart: [], Poststop: [], CreateRuntime: [], CreateContainer: [], StartContainer: [] };
}

function user(request: Create, over: Partial<grpc.User>): Create {
  return process(request, ({ User }) => {
    if (User === null) throw new Error("no user");
    return { User: { ...User, ...over } };
  });
}

function capabilities(
  request: Create,
  change: (all: grpc.LinuxCapabilities) => Partial<grpc.LinuxCapabilities>,
): Create {
  return process(request, ({ Capabilities }) => {
    if (Capabilities === null) throw new Error("no capabilities");
    return { Capabilities: { ...Capabilities, ...change(Capabilities) } };
  });
}

const mapping: grpc.LinuxIDMapping = { HostID: 0, ContainerID: 0, Size: 1 };
const namespaces = (request: Create, ...more: ReadonlyArray<readonly [string, string]>): Create =>
  linux(request, ({ Namespaces }) => ({
    Namespaces: [
      ...Namespaces.filter(({ Type }) => !more.some(([type]) => type === Type)),
      ...more.map(([Type, Path]) => ({ Type, Path })),
    ],
  }));
const sysctl = (request: Create, name: string, value: string): Create =>
  linux(request, ({ Sysctl }) => ({ Sysctl: { ...Sysctl, [name]: value } }));

const KERNEL: readonly Attack[] = [
  ["the guest's processes", (r) => namespaces(r, ["pid", "/proc/1/ns/pid"])],
  ["a pid namespace", (r) => namespaces(r, ["pid", ""])],
  ["the pod's processes", (r) => ({ ...r, sandbox_pidns: true })],
  ["another network", (r) => namespaces(r, ["network", "/proc/1/ns/net"])],
  [
    "users of its own",
    (r) => linux(namespaces(r, ["user", ""]), () => ({ UIDMappings: [mapping], GIDMappings: [mapping] })),
  ],
  ["the guest's messages", (r) => namespaces(r, ["ipc", "/proc/1/ns/ipc"])],
  [
    "the guest's mounts",
    (r) => linux(r, ({ Namespaces }) => ({ Namespaces: Namespaces.filter(({ Type }) => Type !== "mount") })),
  ],
  ["no namespaces", (r) => linux(r, () => ({ Namespaces: [] }))],
  ["a mapping of users", (r) => linux(r, () => ({ UIDMappings: [mapping] }))],
  ["nothing hidden", (r) => linux(r, () => ({ MaskedPaths: [] }))],
  [
    "the kernel's memory not hidden",
    (r) => linux(r, ({ MaskedPaths }) => ({ MaskedPaths: MaskedPaths.filter((one) => one !== "/proc/kcore") })),
  ],
  [
    "a file of the container's hidden",
    (r) => linux(r, ({ MaskedPaths }) => ({ MaskedPaths: [...MaskedPaths, "/etc/settings"] })),
  ],
  ["nothing read-only", (r) => linux(r, () => ({ ReadonlyPaths: [] }))],
  [
    "the kernel's parameters not read-only",
    (r) => linux(r, ({ ReadonlyPaths }) => ({ ReadonlyPaths: ReadonlyPaths.filter((one) => one !== "/proc/sys") })),
  ],
  ["the volume read-only", (r) => linux(r, ({ ReadonlyPaths }) => ({ ReadonlyPaths: [...ReadonlyPaths, "/data"] }))],
  ["a parameter of the kernel", (r) => sysctl(r, "kernel.core_pattern", "|/bin/sh")],
  ["a parameter of the network", (r) => sysctl(r, "net.ipv4.ip_forward", "1")],
  ["a parameter of messages", (r) => sysctl(r, "kernel.shmmax", "1")],
  [
    "a filter of system calls",
    (r) =>
      linux(r, () => ({
        Seccomp: {
          DefaultAction: "SCMP_ACT_ERRNO",
          Architectures: [],
          Flags: [],
          Syscalls: [],
          DefaultErrnoRet: 0,
        } as unknown as grpc.LinuxSeccomp,
      })),
  ],
  ["mounts that get out", (r) => linux(r, () => ({ RootfsPropagation: "shared" }))],
  ["a label for mounts", (r) => linux(r, () => ({ MountLabel: "x" }))],
  [
    "a control group in another's",
    (r, { tool }) => linux(r, ({ CgroupsPath }) => ({ CgroupsPath: `${CgroupsPath.replace(r.container_id, tool)}/x` })),
  ],
  [
    "another container's control group",
    (r, { tool }) => linux(r, ({ CgroupsPath }) => ({ CgroupsPath: CgroupsPath.replace(r.container_id, tool) })),
  ],
  ["a control group by steps up", (r) => linux(r, () => ({ CgroupsPath: `/kubepods/../../${r.container_id}` }))],
  ["the guest's control group", (r) => linux(r, () => ({ CgroupsPath: "/" }))],
  ["nothing of Linux", (r) => oci(r, () => ({ Linux: null }))],
  ["nothing at all", (r) => ({ ...r, OCI: null })],
  [
    "mounts between containers",
    (r) => ({ ...r, shared_mounts: [{ name: "x", src_ctr: "tool", src_path: "/", dst_ctr: "web", dst_path: "/x" }] }),
  ],
];

describe("a container that is not the policy's", () => {
  let guest: Awaited<ReturnType<typeof PolicedGuest.start>>;
  let honest: string;
  let before: Record<string, string[]>;
  /** The id of the last attack: it must be free afterwards. */
  let tried: string | undefined;
  beforeAll(async () => {
    guest = await PolicedGuest.start();
    honest = await guest.runToEnd("web");
    before = await guest.guest.holdings();
  });
  afterAll(() => guest[Symbol.asyncDispose]());
  // What a refused request left in the policy's state would refuse the honest one with its id, or its name.
  afterEach(async () => {
    if (GUEST_KIND === "simulated") expect(await guest.runToEnd("web", tried)).toBe(honest);
    expect(await guest.guest.holdings()).toEqual(before);
  });

  it("the pod itself runs, as its manifest says", async () => {
    expect(honest).toMatch(/^image web\nargs web --serve\n/u);
    expect(honest).toContain("\nUid:\t1000\t1000\t1000\t1000\n");
    expect(honest).toContain("\nCapEff:\t0000000000000000\n");
    expect(honest).toContain("\nCapBnd:\t0000000000000400\n");
    expect(honest).toContain("\nNoNewPrivs:\t1\n");
    expect(honest).toMatch(/^\/ \/ ro,/mu);
    expect(honest).toContain("\nblue");
    const probe = await guest.runProbe("tool", guest.tool, guest.probe("tool", guest.tool));
    expect(probe).toMatch(/^image tool\nargs tool-probe\n/u);
  });

  const refused = async (spoil: Attack[1]): Promise<void> => {
    const request = guest.request("web");
    tried = request.container_id;
    const host = { id: tried, tool: guest.tool, sandbox: guest.sandboxId };
    const reply = await guest.reply(CreateContainer, spoil(request, host));
    expect(reply).toEqual({ code: 7, message: '"CreateContainerRequest is blocked by policy: "' });
    expect(await guest.guest.holdings()).toEqual(before);
    expect(await guest.reply(StartContainer, { container_id: tried })).toMatchObject({ code: 7 });
  };

  describe.each<[string, readonly Attack[]]>([
    ["of another kind or pod", KINDS],
    ["of another name or id", NAMES],
    ["of another image", IMAGES],
    ["with a root of the host's", ROOTS],
    ["with storages of the host's", STORAGES],
    ["with mounts of the host's", MOUNTS],
    ["with devices", DEVICES],
    ["with another process", PROCESSES],
    ["with more of the kernel", KERNEL],
  ])("%s is refused", (_, attacks) => {
    it.each(attacks)("%s", (_what, spoil) => refused(spoil));
  });
});
