import { hasVirtualisation } from "../guest/qemu/accelerator.ts";
import { defaultImage } from "../guest/qemu/image.ts";
import { qemuProgram } from "../guest/qemu/program.ts";
import { SWTPM } from "../guest/qemu/tpm.ts";
import { DEVICE_PROGRAMS } from "../guest/qemu/vsock-device.ts";

import { CONTAINERD } from "../kata/containerd.ts";
import { SHIMS } from "../kata/handler.ts";
import { MANIFEST as KATA_MANIFEST } from "../kata/installed-files.ts";

/** What is looked at, as a port: the real machine, or a made-up one. */
export interface Probes {
  uid(): number;
  /** Undefined when it cannot be read. */
  read(path: string): string | undefined;
  exists(path: string): boolean;
  /** Whether it can be opened for reading and writing. */
  opens(path: string): boolean;
  /** Runs a program; resolves with undefined when it ends well, else with what it said. */
  attempt(argv: readonly string[]): Promise<string | undefined>;
}

/** One thing and whether it works here. */
export interface Finding {
  readonly name: string;
  readonly state: "ok" | "limited" | "missing";
  readonly detail: string;
  /** What to do about it. */
  readonly advice?: string;
  /** Whether a simulated guest needs it. */
  readonly required: boolean;
}

/** Programs that guests are made with, and the Debian packages that have them. */
const TOOLS: readonly (readonly [path: string, debian: string])[] = [
  ["/usr/bin/unshare", "util-linux"],
  ["/usr/bin/nsenter", "util-linux"],
  ["/usr/bin/setpriv", "util-linux"],
  ["/usr/sbin/ip", "iproute2"],
  ["/usr/sbin/runc", "runc"],
  ["/usr/bin/crun", "crun"],
  ["/usr/bin/gcc", "gcc"],
];
/** What demo and tests need beyond that. */
const DEMO_TOOLS: readonly (readonly [path: string, debian: string])[] = [
  ["/usr/bin/docker-registry", "docker-registry"],
  ["/bin/busybox", "busybox-static"],
];
const NAMESPACES: readonly string[] = ["--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--fork"];
/** Controllers without which containers have no limits or no statistics. */
const CONTROLLERS: readonly string[] = ["cpu", "memory", "pids"];

/** Looks at everything. Never throws: what cannot be found out is missing. */
export async function diagnose(probes: Probes): Promise<readonly Finding[]> {
  return [
    root(probes),
    await namespaces(probes),
    cgroups(probes),
    overlay(probes),
    await network(probes),
    tools("tools", TOOLS, true, probes),
    tools("demo and tests", DEMO_TOOLS, false, probes),
    qemu(probes),
    kvm(probes),
    vsock(probes),
    tun(probes),
    containerd(probes),
    kata(probes),
    syslog(probes),
  ];
}

function root(probes: Probes): Finding {
  const name = "root";
  if (probes.uid() === 0) return { name, state: "ok", detail: "yes", required: true };
  return {
    name,
    state: "missing",
    detail: `user ${probes.uid()}`,
    advice: "run nacre as root, with sudo",
    required: true,
  };
}

async function namespaces(probes: Probes): Promise<Finding> {
  const name = "namespaces";
  const failure = await probes.attempt(["/usr/bin/unshare", ...NAMESPACES, "--", "/bin/true"]);
  if (failure === undefined) return { name, state: "ok", detail: "mount pid net uts ipc cgroup", required: true };
  const advice = "in a container: start it with --privileged; else see `sysctl user.max_mnt_namespaces` and its like";
  return { name, state: "missing", detail: failure, advice, required: true };
}

function cgroups(probes: Probes): Finding {
  const name = "cgroups";
  const unified = probes.read("/sys/fs/cgroup/cgroup.controllers");
  const version = unified === undefined ? "version 1" : "version 2";
  const mounted = unified?.trim().split(" ") ?? CONTROLLERS.filter((c) => probes.exists(`/sys/fs/cgroup/${c}`));
  const missing = CONTROLLERS.filter((controller) => !mounted.includes(controller));
  if (missing.length === 0)
    return { name, state: "ok", detail: `${version} with ${CONTROLLERS.join(", ")}`, required: true };
  if (missing.length === CONTROLLERS.length) {
    const advice = "mount them: `mount -t cgroup2 cgroup2 /sys/fs/cgroup`; in a container: start it with --privileged";
    return { name, state: "missing", detail: "no hierarchy under /sys/fs/cgroup", advice, required: true };
  }
  return {
    name,
    state: "limited",
    detail: `${version} without ${missing.join(", ")}: containers have no such limits`,
    advice: missing.includes("memory") ? "boot with cgroup_enable=memory" : "see /proc/cgroups for what the kernel has",
    required: true,
  };
}

function overlay(probes: Probes): Finding {
  const name = "overlay";
  if (/\boverlay$/mu.test(probes.read("/proc/filesystems") ?? "")) {
    return { name, state: "ok", detail: "the kernel has it", required: true };
  }
  return { name, state: "missing", detail: "not in /proc/filesystems", advice: "modprobe overlay", required: true };
}

async function network(probes: Probes): Promise<Finding> {
  const name = "network";
  const argv = [
    "/usr/bin/unshare",
    "--net",
    "--",
    "/usr/sbin/ip",
    "link",
    "add",
    "nacre0",
    "type",
    "veth",
    "peer",
    "name",
    "nacre1",
  ];
  const failure = await probes.attempt(argv);
  if (failure === undefined) return { name, state: "ok", detail: "pairs of interfaces (veth)", required: true };
  return { name, state: "missing", detail: failure, advice: "modprobe veth; apt-get install iproute2", required: true };
}

function tools(
  name: string,
  wanted: readonly (readonly [string, string])[],
  required: boolean,
  probes: Probes,
): Finding {
  const missing = wanted.filter(([path]) => !probes.exists(path));
  if (missing.length === 0) {
    return { name, state: "ok", detail: wanted.map(([path]) => path.split("/").at(-1)).join(" "), required };
  }
  const packages = [...new Set(missing.map(([, debian]) => debian))].join(" ");
  return {
    name,
    state: "missing",
    detail: `without ${missing.map(([path]) => path).join(" ")}`,
    advice: `apt-get install ${packages} (or make packages)`,
    required,
  };
}

function qemu(probes: Probes): Finding {
  const name = "QEMU guests";
  const missing = [
    ...[qemuProgram(), SWTPM]
      .filter((program) => !probes.exists(program))
      .map((program) => `${program} (make packages)`),
    ...(probes.exists(`${defaultImage()}/image.json`) ? [] : [`${defaultImage()} (make rootfs)`]),
  ];
  if (missing.length === 0) return { name, state: "ok", detail: `${qemuProgram()} and an image`, required: false };
  const detail = `without ${missing.map((what) => what.split(" ")[0]).join(" and ")}`;
  return { name, state: "missing", detail, advice: `build or install ${missing.join(" and ")}`, required: false };
}

function kvm(probes: Probes): Finding {
  const name = "KVM";
  const slow = "simulated guests need none; a QEMU guest is then emulated in software, which is slow";
  if (!probes.exists("/dev/kvm")) {
    return { name, state: "missing", detail: "no /dev/kvm", advice: slow, required: false };
  }
  if (!probes.opens("/dev/kvm")) {
    const advice = "join the group kvm, or run as root";
    return { name, state: "limited", detail: "/dev/kvm is there and does not open", advice, required: false };
  }
  if (!hasVirtualisation(probes.read("/proc/cpuinfo") ?? "")) {
    const detail = "/dev/kvm without the processor's support, which runs no stock kernel";
    return { name, state: "limited", detail, advice: slow, required: false };
  }
  return { name, state: "ok", detail: "/dev/kvm opens", required: false };
}

function vsock(probes: Probes): Finding {
  const name = "vsock";
  if (probes.exists("/dev/vhost-vsock")) return { name, state: "ok", detail: "/dev/vhost-vsock", required: false };
  const program = DEVICE_PROGRAMS.find((path) => probes.exists(path));
  if (program !== undefined) return { name, state: "ok", detail: program, required: false };
  const advice =
    "simulated guests use unix sockets; for QEMU guests: modprobe vhost_vsock, or make vhost-device-vsock; devkit ones do without";
  return { name, state: "missing", detail: "no /dev/vhost-vsock", advice, required: false };
}

function tun(probes: Probes): Finding {
  const name = "tun";
  if (probes.opens("/dev/net/tun")) return { name, state: "ok", detail: "/dev/net/tun opens", required: false };
  const advice = "only Kata's own QEMU handlers need it, for a pod's network: modprobe tun";
  return { name, state: "missing", detail: "/dev/net/tun does not open", advice, required: false };
}

function containerd(probes: Probes): Finding {
  const name = "containerd";
  const found = CONTAINERD.find((path) => probes.exists(path));
  if (found !== undefined) return { name, state: "ok", detail: found, required: false };
  const advice = "only pods of a Kata runtime need it: apt-get install containerd";
  return { name, state: "missing", detail: `no ${CONTAINERD.join(", no ")}`, advice, required: false };
}

function kata(probes: Probes): Finding {
  const name = "Kata runtime";
  const shim = SHIMS.find((path) => probes.exists(path));
  if (shim === undefined) {
    const advice = "only pods of a Kata runtime need it: unpack a release of Kata Containers below /opt/kata";
    return { name, state: "missing", detail: `no ${SHIMS.join(", no ")}`, advice, required: false };
  }
  if (probes.exists(KATA_MANIFEST)) return { name, state: "ok", detail: `${shim} knows our guests`, required: false };
  return {
    name,
    state: "limited",
    detail: `${shim} does not know our guests`,
    advice: "nacre kata install",
    required: false,
  };
}

function syslog(probes: Probes): Finding {
  const name = "syslog";
  if (probes.exists("/dev/log")) return { name, state: "ok", detail: "/dev/log", required: false };
  const advice = "a Kata runtime does not start without: systemd-journald or rsyslog";
  return { name, state: "missing", detail: "no /dev/log", advice, required: false };
}
