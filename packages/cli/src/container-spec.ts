import type { grpc, Init } from "@nacre/protocols";

/** Where CreateSandbox puts the pod's shared memory. */
const SANDBOX_SHM = "/run/kata-containers/sandbox/shm";

/** containerd's default mounts of a container in a pod. */
const MOUNTS: readonly Init<grpc.Mount>[] = [
  mount("/proc", "proc", ["nosuid", "noexec", "nodev"]),
  mount("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
  mount("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
  mount("/dev/mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
  mount("/sys", "sysfs", ["nosuid", "noexec", "nodev", "ro"]),
  mount("/sys/fs/cgroup", "cgroup", ["nosuid", "noexec", "nodev", "relatime", "ro"]),
  { destination: "/dev/shm", source: SANDBOX_SHM, type: "bind", options: ["rbind"] },
];

/** Parts of /proc and /sys that containerd hides. */
const MASKED: readonly string[] = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/sys/firmware",
  "/proc/scsi",
];
const READONLY: readonly string[] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/** A container of the pod, or, with the image `pause`, the sandbox's own. */
export interface ContainerSpec {
  readonly id: string;
  readonly sandboxId: string;
  readonly name: string;
  readonly image: string;
  readonly process: Init<grpc.Process>;
}

/** The request as a Kata runtime makes it of containerd's specification, the guest pulling the image itself. */
export function containerRequest(spec: ContainerSpec): Init<grpc.CreateContainerRequest> {
  const { id, sandboxId } = spec;
  const bundle = `/run/kata-containers/${id}`;
  const annotations = annotationsOf(spec);
  return {
    container_id: id,
    exec_id: id,
    storages: [
      {
        driver: "image_guest_pull",
        driver_options: [`image_guest_pull=${JSON.stringify({ metadata: annotations })}`],
        source: spec.image,
        fstype: "overlay",
        mount_point: `${bundle}/rootfs`,
      },
    ],
    OCI: {
      Version: "1.0.2-dev",
      Process: spec.process,
      Root: { Path: `${bundle}/rootfs`, Readonly: isSandbox(spec) },
      Mounts: MOUNTS,
      Annotations: annotations,
      Linux: {
        CgroupsPath: `/kubepods/pod-${sandboxId.slice(0, 12)}/${id}`,
        Namespaces: [{ Type: "ipc" }, { Type: "uts" }, { Type: "mount" }],
        MaskedPaths: MASKED,
        ReadonlyPaths: READONLY,
        Resources: { CPU: { Shares: isSandbox(spec) ? 2n : 1024n } },
      },
    },
  };
}

/** The sandbox's request with the pod's shared memory, of 64 MiB as containerd has it. */
export function sandboxRequest(sandboxId: string, hostname: string): Init<grpc.CreateSandboxRequest> {
  return {
    sandbox_id: sandboxId,
    hostname,
    storages: [
      {
        driver: "ephemeral",
        source: "shm",
        fstype: "tmpfs",
        options: ["noexec", "nosuid", "nodev", "mode=1777", "size=67108864"],
        mount_point: SANDBOX_SHM,
      },
    ],
  };
}

function isSandbox({ id, sandboxId }: ContainerSpec): boolean {
  return id === sandboxId;
}

function annotationsOf(spec: ContainerSpec): Record<string, string> {
  const common = {
    "io.kubernetes.cri.sandbox-id": spec.sandboxId,
    "io.kubernetes.cri.sandbox-name": "nacre",
    "io.kubernetes.cri.sandbox-namespace": "default",
  };
  if (isSandbox(spec)) {
    return {
      "io.katacontainers.pkg.oci.container_type": "pod_sandbox",
      "io.kubernetes.cri.container-type": "sandbox",
      ...common,
    };
  }
  return {
    "io.katacontainers.pkg.oci.container_type": "pod_container",
    "io.kubernetes.cri.container-name": spec.name,
    "io.kubernetes.cri.container-type": "container",
    "io.kubernetes.cri.image-name": spec.image,
    ...common,
  };
}

function mount(destination: string, type: string, options: readonly string[]): Init<grpc.Mount> {
  return { destination, source: type, type, options };
}
