import { DEFAULT_SOCKET } from "../hypervisor/serve.ts";
import type { Handler } from "./handler.ts";

/**
 * A configuration of Kata's Go runtime, 3.29 to 4.1: only keys that both know, and only those where the runtime's own
 * default is not what our guests need.
 */
export interface RuntimeConfig {
  readonly handler: Handler;
  /** remote: where `nacre hypervisor serve` listens. */
  readonly socket?: string;
  /** The others: the virtual machine. */
  readonly machine?: MachineConfig;
  /** Seconds that a container may take to be made, its pull included. */
  readonly createContainerTimeout: number;
}

/** Absolute paths, as the runtime sees them. */
export interface MachineConfig {
  readonly hypervisor: string;
  readonly kernel: string;
  readonly image: string;
  readonly firmware?: string | undefined;
  /** One line of a root hash file. */
  readonly verity: string;
  /** Appended to those that every guest has. */
  readonly kernelParams: readonly string[];
  /** MiB. */
  readonly memory: number;
  readonly vcpus: number;
}

/** How init chooses version 2 of control groups, as upstream's own configurations do. */
const KERNEL_PARAMS: readonly string[] = ["cgroup_no_v1=all", "systemd.unified_cgroup_hierarchy=1"];
/** SNP's guest policy with its reserved bit 17 and SMT allowed; no debugging, no migration (AMD 56860, 4.3). */
const SNP_POLICY = 0x3_0000;
/** Where Intel's quote generation service listens on vsock, as Kata 3.29 has it; from 4.0 on 0 is its unix socket. */
const TDX_QUOTE_PORT = 4050;
/** The remote runtime waits as long for StartVM. */
const REMOTE_TIMEOUT = 600;

type Value = string | number | boolean | readonly string[];
/** A key, its value, and why the runtime's default does not do. */
type Setting = readonly [key: string, value: Value, why: string];

/** The file's text. */
export function runtimeConfigText(config: RuntimeConfig): string {
  const remote = config.handler === "remote";
  return [
    "# Written by `nacre kata install`, which writes it anew; `nacre kata uninstall` takes it away.\n",
    table(remote ? "hypervisor.remote" : "hypervisor.qemu", remote ? remoteSettings(config) : machineSettings(config)),
    table("agent.kata", [["dial_timeout", remote ? 30 : 90, "seconds until the agent must answer"]]),
    table("runtime", runtimeSettings(config)),
  ].join("");
}

function remoteSettings({ socket }: RuntimeConfig): readonly Setting[] {
  return [
    ["remote_hypervisor_socket", socket ?? DEFAULT_SOCKET, "where nacre hypervisor serve listens"],
    ["remote_hypervisor_timeout", REMOTE_TIMEOUT, "seconds for StartVM"],
    [
      "enable_annotations",
      ["machine_type", "image", "default_memory", "default_vcpus", "cc_init_data"],
      "what a pod may choose, and the service honours",
    ],
    ["disable_guest_selinux", true, "the guest has no SELinux"],
  ];
}

function machineSettings({ handler, machine }: RuntimeConfig): readonly Setting[] {
  if (machine === undefined) throw new TypeError(`expected a machine for ${handler}`);
  const { hypervisor, kernel, image, firmware, verity, kernelParams, memory, vcpus } = machine;
  const confidential = handler !== "qemu";
  return [
    ["path", hypervisor, "QEMU"],
    ["valid_hypervisor_paths", [hypervisor], "no annotation chooses another"],
    ["kernel", kernel, "the one that the image was built for: it opens the root by itself (CONFIG_DM_INIT)"],
    ["image", image, "the measured root: data on partition 1, hash tree on partition 2"],
    ["rootfs_type", "erofs", "what the image is"],
    ["kernel_verity_params", verity, "from the image's root hash file: a root that differs does not boot"],
    ["kernel_params", [...KERNEL_PARAMS, ...kernelParams].join(" "), "control groups of version 2"],
    ["machine_type", "q35", "the only one with confidential guests"],
    ...(firmware === undefined ? [] : ([["firmware", firmware, "measured at launch"]] satisfies Setting[])),
    ...(confidential ? ([["confidential_guest", true, "memory is the guest's own"]] satisfies Setting[]) : []),
    ...(handler === "qemu-snp"
      ? ([
          ["sev_snp_guest", true, "SEV-SNP, not an older SEV"],
          ["snp_guest_policy", SNP_POLICY, "no debugging, no migration"],
        ] satisfies Setting[])
      : []),
    ...(handler === "qemu-tdx"
      ? ([["tdx_quote_generation_service_socket_port", TDX_QUOTE_PORT, "where quotes are made"]] satisfies Setting[])
      : []),
    ["cpu_features", "pmu=off", "no performance counters of the host in the guest"],
    ["default_vcpus", vcpus, "beside what the pod's containers ask for"],
    ["default_memory", memory, "MiB, beside what the pod's containers ask for"],
    [
      "enable_annotations",
      ["default_vcpus", "default_memory", "cc_init_data"],
      "what a pod may choose: no kernel parameters, no root hash",
    ],
    ["disable_image_nvdimm", true, "the root is a virtio disk: a confidential guest has no NVDIMM"],
    ["shared_fs", "none", "nothing of the host is mounted in the guest"],
    ["disable_guest_selinux", true, "the guest has no SELinux"],
  ];
}

function runtimeSettings({ handler, createContainerTimeout }: RuntimeConfig): readonly Setting[] {
  const network: readonly Setting[] =
    handler === "remote"
      ? [
          ["internetworking_model", "none", "the guest has a network of its own"],
          ["disable_new_netns", true, "only with the model none"],
        ]
      : [["internetworking_model", "tcfilter", "the pod's interface becomes the guest's"]];
  return [
    ...network,
    ["experimental_force_guest_pull", true, "images are pulled, and their digests checked, in the guest"],
    ["create_container_timeout", createContainerTimeout, "seconds, the pull included"],
    ["static_sandbox_resource_mgmt", true, "the guest has its size before it starts; nothing is plugged in later"],
    ["disable_guest_seccomp", true, "as upstream: profiles of the host are not for the guest"],
    ["disable_guest_empty_dir", false, "emptyDir lies in the guest"],
    ["emptydir_mode", "shared-fs", "with shared_fs none: in the guest's memory"],
    ["vfio_mode", "guest-kernel", "devices belong to the guest's kernel"],
    ["sandbox_cgroup_only", false, "as upstream"],
  ];
}

function table(name: string, settings: readonly Setting[]): string {
  return `\n[${name}]\n${settings.map(([key, value, why]) => `# ${why}\n${key} = ${tomlValue(value)}\n`).join("")}`;
}

/** JSON's escapes are among those of a basic string of TOML. */
export function tomlValue(value: Value): string {
  return JSON.stringify(value).replaceAll("\u007f", "\\u007f").replaceAll('","', '", "');
}
