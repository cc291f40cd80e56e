import type { PolicyMount } from "./policy-data.ts";
import type { PolicyText } from "./template.ts";

const PROC: PolicyMount = mount("/proc", "proc", ["nosuid", "noexec", "nodev"]);
const DEV: PolicyMount = mount("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]);
const PTS: PolicyMount = mount("/dev/pts", "devpts", [
  "nosuid",
  "noexec",
  "newinstance",
  "ptmxmode=0666",
  "mode=0620",
  "gid=5",
]);
const MQUEUE: PolicyMount = mount("/dev/mqueue", "mqueue", ["nosuid", "noexec", "nodev"]);
const SYS: PolicyMount = mount("/sys", "sysfs", ["nosuid", "noexec", "nodev", "ro"]);
const CGROUP: PolicyMount = mount("/sys/fs/cgroup", "cgroup", ["nosuid", "noexec", "nodev", "relatime", "ro"]);
const SHM: PolicyMount = {
  destination: "/dev/shm",
  type: "bind",
  options: ["rbind"],
  source: "/run/kata-containers/sandbox/shm",
};

/** containerd's mounts of a container in a pod, in its order, as Kata passes them on. */
export const CONTAINER_MOUNTS: readonly PolicyMount[] = [PROC, DEV, PTS, MQUEUE, SYS, CGROUP, SHM];
export const SANDBOX_MOUNTS: readonly PolicyMount[] = [PROC, DEV, PTS, SHM, MQUEUE, SYS];

/** How containerd 1 and 2 mount the sandbox's resolv.conf. */
export const SANDBOX_RESOLV_OPTIONS: ReadonlyArray<readonly string[]> = [
  ["rbind", "ro"],
  ["rbind", "ro", "nosuid", "nodev", "noexec"],
];

/** Parts of /proc and /sys that every kubelet hides, and those that some do. */
export const MASKED_PATHS: readonly string[] = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
];
export const FURTHER_MASKED_PATHS: readonly PolicyText[] = [
  "/proc/interrupts",
  "/sys/devices/virtual/powercap",
  { pattern: "/sys/devices/system/cpu/cpu[0-9]{1,4}/thermal_throttle" },
];
export const READONLY_PATHS: readonly string[] = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
];

/** What containerd 2 gives every sandbox. */
export const SANDBOX_SYSCTLS: Readonly<Record<string, string>> = {
  "net.ipv4.ip_unprivileged_port_start": "0",
  "net.ipv4.ping_group_range": "0 2147483647",
};

/** Shared memory of the pod. */
export const SHM_STORAGE = {
  driver: "ephemeral",
  source: "shm",
  fstype: "tmpfs",
  mount_point: "/run/kata-containers/sandbox/shm",
  options: ["noexec", "nosuid", "nodev", "mode=1777"],
} as const;
/** Its size: a pod's is 64 MiB. */
export const SHM_SIZE = "size=67108864";

function mount(destination: string, type: string, options: readonly string[]): PolicyMount {
  return { destination, type, options, source: type };
}
