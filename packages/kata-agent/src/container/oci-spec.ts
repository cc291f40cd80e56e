import { posix } from "node:path";
import { internalError, invalidArgument } from "../error.ts";
import { cgroupPath } from "./cgroup-layout.ts";
import { NAMESPACES } from "./oci-names.ts";
import { convertProcess, type InheritedProcess } from "./oci-process.ts";
import { convertDevices, convertResources } from "./oci-resources.ts";
import { convertSeccomp } from "./oci-seccomp.ts";
import { splitSysctls } from "./sysctl.ts";
import type { LinuxTree, SpecTree } from "./tree.ts";

/** Version written into config.json; the host's own is not passed on, its content is converted field by field. */
const OCI_VERSION = "1.0.2";

/** Files below /proc that containers may mount over; the same list as the OCI runtimes' (spec 3.8). */
const PROC_MOUNTS: ReadonlySet<string> = new Set([
  "/proc/cpuinfo",
  "/proc/diskstats",
  "/proc/meminfo",
  "/proc/stat",
  "/proc/swaps",
  "/proc/uptime",
  "/proc/loadavg",
  "/proc/slabinfo",
  "/proc/net/dev",
  "/proc/sys/kernel/ns_last_pid",
  "/proc/sys/crypto/fips_enabled",
]);

/** Namespaces that already exist and are joined by path; absent ones are made new. */
export interface JoinedNamespaces {
  readonly ipc?: string | undefined;
  readonly uts?: string | undefined;
  readonly pid?: string | undefined;
}

export interface ConvertOptions {
  readonly id: string;
  readonly namespaces: JoinedNamespaces;
  /** On version 2 every container gets a cgroup namespace. */
  readonly cgroupVersion: 1 | 2;
}

/** What the runtime and this agent need to run a container. */
export interface ConvertedSpec {
  /** The content of config.json; integers may be bigint. */
  readonly config: object;
  readonly terminal: boolean;
  /** All that is kept of the process: its environment may hold a secret. */
  readonly inherited: InheritedProcess;
  /** Absolute below the hierarchies' roots. */
  readonly cgroupPath: string;
  /** net.* parameters, which the agent writes itself: the container shares its network namespace. */
  readonly netSysctls: ReadonlyMap<string, string>;
  readonly rootPath: string;
}

/**
 * Builds config.json from the host's specification, from an allow-list (design decision 8): no hooks, no annotations,
 * no AppArmor profile, no namespace paths reach the runtime. Throws AgentError for what cannot be meant.
 */
export function convertSpec(spec: SpecTree, options: ConvertOptions): ConvertedSpec {
  const linux = spec.Linux;
  const process = convertProcess(spec.Process);
  const rootPath = spec.Root?.Path ?? "";
  if (!rootPath.startsWith("/")) throw invalidArgument(`root path ${rootPath} is not absolute`);
  const namespaces = convertNamespaces(spec, options);
  const { runtime: sysctl, net: netSysctls } = splitSysctls(
    linux?.Sysctl ?? {},
    new Set(namespaces.map(({ type }) => type)),
  );
  refuseSelinux(spec);
  const path = cgroupPath(linux?.CgroupsPath ?? "", options.id);
  const hostname = linux === null ? "" : spec.Hostname;
  const config = {
    ociVersion: OCI_VERSION,
    process,
    root: { path: rootPath, ...(spec.Root?.Readonly === true ? { readonly: true } : {}) },
    ...(hostname === "" ? {} : { hostname }),
    ...(spec.Mounts.length > 0 ? { mounts: spec.Mounts.map(convertMount) } : {}),
    linux: {
      cgroupsPath: path,
      namespaces,
      resources: convertResources(linux?.Resources ?? null),
      ...(Object.keys(sysctl).length > 0 ? { sysctl } : {}),
      ...(linux === null ? {} : convertLinux(linux, namespaces)),
    },
  };
  const { terminal, capabilities, rlimits } = process;
  const inherited = rlimits === undefined ? { capabilities } : { capabilities, rlimits };
  return { config, terminal, inherited, cgroupPath: path, netSysctls, rootPath };
}

function convertLinux(linux: LinuxTree, namespaces: ReadonlyArray<{ type: string }>): object {
  const mapping = ({ HostID, ContainerID, Size }: { HostID: number; ContainerID: number; Size: number }): object => ({
    hostID: HostID,
    containerID: ContainerID,
    size: Size,
  });
  const mapped = linux.UIDMappings.length > 0 && linux.GIDMappings.length > 0;
  const user = namespaces.some(({ type }) => type === "user");
  if (user && !mapped) throw internalError("user namespace without id mappings");
  return {
    ...(user ? { uidMappings: linux.UIDMappings.map(mapping), gidMappings: linux.GIDMappings.map(mapping) } : {}),
    ...(linux.Devices.length > 0 ? { devices: convertDevices(linux.Devices) } : {}),
    ...(linux.Seccomp === null ? {} : { seccomp: convertSeccomp(linux.Seccomp) }),
    ...(linux.RootfsPropagation === "" ? {} : { rootfsPropagation: linux.RootfsPropagation }),
    ...(linux.MaskedPaths.length > 0 ? { maskedPaths: linux.MaskedPaths } : {}),
    ...(linux.ReadonlyPaths.length > 0 ? { readonlyPaths: linux.ReadonlyPaths } : {}),
  };
}

/**
 * The host names kinds only; which existing namespace is joined is the guest's to say. Mount and pid are always
 * separate: a container without a mount namespace would pivot the guest's own root.
 */
function convertNamespaces(spec: SpecTree, options: ConvertOptions): Array<{ type: string; path?: string }> {
  const asked = spec.Linux === null ? ["ipc", "uts"] : spec.Linux.Namespaces.map(({ Type }) => Type);
  if (spec.Linux !== null && spec.Hostname !== "" && !asked.includes("uts")) {
    throw internalError("hostname", new Error("Linux namespace does not contain uts"));
  }
  for (const [index, type] of asked.entries()) {
    if (!NAMESPACES.has(type)) throw invalidArgument(`unknown namespace ${type}`);
    if (asked.indexOf(type) !== index) throw invalidArgument(`namespace ${type} is listed twice`);
  }
  for (const { Type, Path } of spec.Linux?.Namespaces ?? []) {
    if (Path !== "") throw invalidArgument(`namespace ${Type} has a path, which the guest chooses itself`);
  }
  const always = ["mount", "pid", ...(options.cgroupVersion === 2 ? ["cgroup"] : [])];
  return [...new Set([...asked, ...always])].map((type) => {
    const path = (options.namespaces as Readonly<Record<string, string | undefined>>)[type];
    return path === undefined ? { type } : { type, path };
  });
}

function convertMount(mount: SpecTree["Mounts"][number]): object {
  const { destination, source, type, options } = mount;
  const target = posix.normalize(`/${destination}`).replace(/\/+$/, "");
  if (target.startsWith("/proc/") && !PROC_MOUNTS.has(target)) {
    throw internalError(`${destination} cannot be mounted because it is inside /proc`);
  }
  return {
    destination,
    ...(source === "" ? {} : { source }),
    ...(type === "" ? {} : { type }),
    ...(options.length > 0 ? { options } : {}),
  };
}

/** No guest of ours has SELinux; a label must not be dropped silently (spec 3.8, validators). */
function refuseSelinux(spec: SpecTree): void {
  if ((spec.Process?.SelinuxLabel ?? "") !== "" || (spec.Linux?.MountLabel ?? "") !== "") {
    throw internalError("SELinux label is specified in the config, but SELinux is disabled or not supported");
  }
}
