import { parseLossless, stringifyLossless } from "@nacre/protocols";
import { describe, expect, it } from "vitest";
import { convertSpec, type ConvertedSpec, type JoinedNamespaces } from "../../src/container/oci-spec.ts";
import { describeError } from "../../src/error.ts";
import { CAPS, specTree, type SpecParts } from "./trees.ts";

const DENY_ALL = { allow: false, access: "rwm" };

function convert(parts: SpecParts = {}, namespaces: JoinedNamespaces = {}, cgroupVersion: 1 | 2 = 1): ConvertedSpec {
  return convertSpec(specTree(parts), { id: "c1", namespaces, cgroupVersion });
}

/** config.json as the runtime reads it. */
function config(parts: SpecParts = {}, namespaces: JoinedNamespaces = {}): Record<string, Record<string, unknown>> {
  return parseLossless(stringifyLossless(convert(parts, namespaces).config)) as never;
}

function refusal(parts: SpecParts): { code: number; text: string } {
  try {
    convert(parts);
  } catch (error) {
    return { code: (error as { code: number }).code, text: describeError(error) };
  }
  throw new Error("accepted");
}

describe("convertSpec", () => {
  it("writes the whole of an ordinary container", () => {
    expect(config({ other: { Hostname: "golden" } }, { ipc: "/ns/ipc", uts: "/ns/uts" })).toEqual({
      ociVersion: "1.0.2",
      hostname: "golden",
      process: {
        terminal: false,
        user: { uid: 0, gid: 0 },
        args: ["true"],
        env: ["PATH=/bin"],
        cwd: "/",
        noNewPrivileges: true,
        oomScoreAdj: 1,
        capabilities: { bounding: CAPS, effective: CAPS, permitted: CAPS, inheritable: [], ambient: [] },
      },
      root: { path: "/run/kata-containers/c1/rootfs" },
      mounts: [
        { destination: "/proc", source: "proc", type: "proc", options: ["nosuid", "noexec", "nodev"] },
        { destination: "/dev", source: "tmpfs", type: "tmpfs", options: ["nosuid", "strictatime", "mode=755"] },
        {
          destination: "/dev/pts",
          source: "devpts",
          type: "devpts",
          options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        },
      ],
      linux: {
        cgroupsPath: "/pod/c1",
        namespaces: [
          { type: "ipc", path: "/ns/ipc" },
          { type: "uts", path: "/ns/uts" },
          { type: "mount" },
          { type: "pid" },
        ],
        resources: { devices: [DENY_ALL] },
      },
    });
  });

  it("lets nothing through that is not on the list", () => {
    const text = stringifyLossless(
      convert({
        process: { ApparmorProfile: "hostile-profile", User: { Username: "hostile-user" } },
        other: {
          Version: "hostile-version",
          Annotations: { "run.oci.hooks.stdout": "/hostile", "org.systemd.property.ExecStart": "hostile" },
          Hooks: { Prestart: [{ Path: "/hostile" }], StartContainer: [{ Path: "/hostile" }] },
          Solaris: { dummy: "hostile" },
          Windows: { dummy: "hostile" },
        },
        linux: { IntelRdt: { L3CacheSchema: "hostile" }, Resources: { Network: { ClassID: 7 } } },
      }).config,
    );
    expect(text).not.toContain("hostile");
    expect(text).not.toContain("annotations");
    expect(text).not.toContain("hooks");
    expect(text).not.toContain("classID");
  });

  it("keeps 64-bit values exact and drops what means unset (spec 3.2)", () => {
    const resources = config({
      linux: {
        Resources: {
          Memory: { Limit: "9223372036854771712", Swap: "-1", Reservation: "0", DisableOOMKiller: true },
          CPU: { Shares: "18446744073709551615", Quota: "-1", Period: "100000", Cpus: "", Mems: "0" },
          Pids: { Limit: "0" },
          BlockIO: { Weight: 10, ThrottleReadBpsDevice: [{ Major: "8", Minor: "0", Rate: "9007199254740993" }] },
          HugepageLimits: [{ Pagesize: "2MB", Limit: "9007199254740993" }],
          Devices: [
            { Allow: true, Type: "c", Major: "1", Minor: "3", Access: "rw" },
            { Allow: true, Type: "b", Access: "m" },
            { Access: "" },
          ],
        },
      },
    })["linux"]?.["resources"];
    expect(resources).toEqual({
      devices: [
        DENY_ALL,
        { allow: true, type: "c", major: 1, minor: 3, access: "rw" },
        { allow: true, type: "b", access: "m" },
      ],
      memory: { limit: 9223372036854771712n, swap: -1, disableOOMKiller: true },
      cpu: { shares: 18446744073709551615n, period: 100000, mems: "0" },
      blockIO: { weight: 10, throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 9007199254740993n }] },
      hugepageLimits: [{ pageSize: "2MB", limit: 9007199254740993n }],
    });
  });

  it("passes devices, paths, propagation and seccomp on", () => {
    const linux = config({
      other: { Root: { Path: "/r", Readonly: true } },
      linux: {
        Devices: [{ Path: "/dev/x", Type: "b", Major: "8", Minor: "1", FileMode: 0o100600, UID: 1, GID: 2 }],
        MaskedPaths: ["/proc/keys"],
        ReadonlyPaths: ["/proc/sys"],
        RootfsPropagation: "rslave",
        Seccomp: {
          DefaultAction: "SCMP_ACT_ALLOW",
          Architectures: ["SCMP_ARCH_X86_64"],
          Flags: ["SECCOMP_FILTER_FLAG_LOG"],
          Syscalls: [
            {
              Names: ["no_such_syscall"],
              Action: "SCMP_ACT_ERRNO",
              errnoret: 38,
              Args: [{ Index: "1", Value: "18446744073709551615", Op: "SCMP_CMP_EQ" }],
            },
          ],
        },
      },
    });
    expect(linux["root"]).toEqual({ path: "/r", readonly: true });
    expect(linux["linux"]).toMatchObject({
      devices: [{ path: "/dev/x", type: "b", major: 8, minor: 1, fileMode: 0o600, uid: 1, gid: 2 }],
      maskedPaths: ["/proc/keys"],
      readonlyPaths: ["/proc/sys"],
      rootfsPropagation: "rslave",
      seccomp: {
        defaultAction: "SCMP_ACT_ALLOW",
        architectures: ["SCMP_ARCH_X86_64"],
        flags: ["SECCOMP_FILTER_FLAG_LOG"],
        syscalls: [
          {
            names: ["no_such_syscall"],
            action: "SCMP_ACT_ERRNO",
            errnoRet: 38,
            args: [{ index: 1, value: 18446744073709551615n, valueTwo: 0, op: "SCMP_CMP_EQ" }],
          },
        ],
      },
    });
  });

  it("gives a container without a linux section namespaces of its own", () => {
    const converted = config({ linux: null, other: { Hostname: "dropped" } }, { ipc: "/ns/ipc" });
    expect(converted["hostname"]).toBeUndefined();
    expect(converted["linux"]?.["cgroupsPath"]).toBe("/c1");
    expect(converted["linux"]?.["namespaces"]).toEqual([
      { type: "ipc", path: "/ns/ipc" },
      { type: "uts" },
      { type: "mount" },
      { type: "pid" },
    ]);
  });

  it("joins the sandbox's pid namespace, and makes a cgroup one on version 2", () => {
    expect(config({}, { pid: "/proc/7/ns/pid" })["linux"]?.["namespaces"]).toContainEqual({
      type: "pid",
      path: "/proc/7/ns/pid",
    });
    expect(stringifyLossless(convert({}, {}, 2).config)).toContain('{"type":"cgroup"}');
  });

  it("defaults what is absent in a process", () => {
    const absent = { other: { Process: null } };
    expect(config(absent)["process"]).toMatchObject({
      args: ["sh"],
      cwd: "/",
      terminal: false,
      user: { uid: 0, gid: 0 },
    });
    expect(convert(absent).inherited.capabilities.bounding).toEqual([]);
    expect(config({ process: { Args: [], Cwd: "rel" } })["process"]).toMatchObject({ args: ["sh"], cwd: "/rel" });
  });

  it("passes a terminal's size, groups, limits and the OOM score on", () => {
    const parts: SpecParts = {
      process: {
        Terminal: true,
        ConsoleSize: { Height: 24, Width: 80 },
        User: { UID: 1000, GID: 1001, AdditionalGids: [5, 6] },
        Rlimits: [{ Type: "RLIMIT_NOFILE", Hard: "18446744073709551615", Soft: "10" }],
        OOMScoreAdj: "-998",
      },
    };
    expect(convert(parts).terminal).toBe(true);
    expect(config(parts)["process"]).toMatchObject({
      terminal: true,
      consoleSize: { height: 24, width: 80 },
      user: { uid: 1000, gid: 1001, additionalGids: [5, 6] },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 18446744073709551615n, soft: 10 }],
      oomScoreAdj: -998,
    });
  });

  it("sets the network's parameters itself and leaves those of the ipc namespace to the runtime", () => {
    const sysctls = { "net.ipv4.ping_group_range": "0 1", "kernel.shmmax": "5", "fs.mqueue.msg_max": "7" };
    const converted = convert({ linux: { Sysctl: sysctls } });
    expect([...converted.netSysctls]).toEqual([["net.ipv4.ping_group_range", "0 1"]]);
    expect(config({ linux: { Sysctl: sysctls } })["linux"]?.["sysctl"]).toEqual({
      "kernel.shmmax": "5",
      "fs.mqueue.msg_max": "7",
    });
  });
});

describe("convertSpec refuses", () => {
  const namespaces = (...types: string[]): object => ({ Namespaces: types.map((Type) => ({ Type })) });
  const BAD_SYSCTL = "sysctl\n\nCaused by:\n    Sysctl config contains invalid settings";
  const NO_UTS = "hostname\n\nCaused by:\n    Linux namespace does not contain uts";

  it.each<[string, SpecParts, number, string]>([
    [
      "an unknown capability",
      { process: { Capabilities: { Bounding: ["CAP_NOPE"] } } },
      3,
      "unknown capability CAP_NOPE",
    ],
    ["an unknown limit", { process: { Rlimits: [{ Type: "RLIMIT_X" }] } }, 3, "unknown resource limit RLIMIT_X"],
    [
      "a soft limit above the hard one",
      { process: { Rlimits: [{ Type: "RLIMIT_NOFILE", Hard: "10", Soft: "20" }] } },
      13,
      "Invalid argument (os error 22)\n\nCaused by:\n    soft limit of RLIMIT_NOFILE is above the hard one",
    ],
    ["an environment entry without =", { process: { Env: ["secret"] } }, 3, "environment entry without ="],
    ["a zero byte", { process: { Args: ["a\0b"] } }, 3, "argument holds a zero byte"],
    ["a foreign parameter", { linux: { Sysctl: { "vm.swappiness": "1" } } }, 13, BAD_SYSCTL],
    ["a parameter that leads out", { linux: { Sysctl: { "net/../vm/swappiness": "1" } } }, 13, BAD_SYSCTL],
    [
      "an ipc parameter without the namespace",
      { linux: { ...namespaces("uts"), Sysctl: { "kernel.sem": "1" } } },
      13,
      BAD_SYSCTL,
    ],
    ["a hostname without uts", { linux: namespaces("mount"), other: { Hostname: "h" } }, 13, NO_UTS],
    ["an unknown namespace", { linux: namespaces("uts", "bogus") }, 3, "unknown namespace bogus"],
    ["a namespace twice", { linux: namespaces("mount", "mount") }, 3, "namespace mount is listed twice"],
    [
      "a namespace path of the host's choice",
      { linux: { Namespaces: [{ Type: "mount", Path: "/proc/1/ns/mnt" }] } },
      3,
      "namespace mount has a path, which the guest chooses itself",
    ],
    ["a user namespace without mappings", { linux: namespaces("user") }, 13, "user namespace without id mappings"],
    [
      "a seccomp action",
      { linux: { Seccomp: { DefaultAction: "SCMP_ACT_NOPE" } } },
      3,
      "unknown seccomp action SCMP_ACT_NOPE",
    ],
    [
      "a seccomp architecture",
      { linux: { Seccomp: { DefaultAction: "SCMP_ACT_ALLOW", Architectures: ["SCMP_ARCH_Z80"] } } },
      3,
      "unknown seccomp architecture SCMP_ARCH_Z80",
    ],
    [
      "a seccomp flag",
      { linux: { Seccomp: { DefaultAction: "SCMP_ACT_ALLOW", Flags: ["NOPE"] } } },
      3,
      "unknown seccomp flag NOPE",
    ],
    [
      "a seccomp operator",
      {
        linux: {
          Seccomp: {
            DefaultAction: "SCMP_ACT_ALLOW",
            Syscalls: [{ Names: ["read"], Action: "SCMP_ACT_ERRNO", Args: [{ Op: "SCMP_CMP_X" }] }],
          },
        },
      },
      3,
      "unknown seccomp operator SCMP_CMP_X",
    ],
    [
      "a mount below /proc",
      { other: { Mounts: [{ destination: "/dev/../proc/sys" }] } },
      13,
      "/dev/../proc/sys cannot be mounted because it is inside /proc",
    ],
    ["a relative root", { rootfs: "rootfs" }, 3, "root path rootfs is not absolute"],
    [
      "a device without a type",
      { linux: { Devices: [{ Path: "/dev/x", Type: "z" }] } },
      3,
      "device /dev/x has the unknown type z",
    ],
    ["a relative device", { linux: { Devices: [{ Path: "x", Type: "c" }] } }, 3, "device path x is not absolute"],
    [
      "a device rule's access",
      { linux: { Resources: { Devices: [{ Access: "x" }] } } },
      3,
      "device rule has the unknown access x",
    ],
    [
      "a device rule's type",
      { linux: { Resources: { Devices: [{ Type: "z", Access: "r" }] } } },
      3,
      "device rule has the unknown type z",
    ],
    [
      "a label",
      { process: { SelinuxLabel: "x" } },
      13,
      "SELinux label is specified in the config, but SELinux is disabled or not supported",
    ],
  ])("%s", (_, parts, code, text) => {
    expect(refusal(parts)).toEqual({ code, text });
  });
});
