import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import * as constants from "../src/constants.ts";
import * as netlink from "../src/netlink/constants.ts";
import { Errno } from "../src/errno.ts";
import { layouts, type LayoutName } from "../src/layouts.ts";
import { LibC } from "../src/native.ts";
import { rawCalls } from "../src/signatures.ts";

const HEADERS = [
  "stddef.h",
  "stdio.h",
  "errno.h",
  "fcntl.h",
  "sched.h",
  "signal.h",
  "time.h",
  "unistd.h",
  "linux/mount.h",
  "linux/openat2.h",
  "linux/stat.h",
  "sys/ioctl.h",
  "sys/mount.h",
  "sys/prctl.h",
  "sys/reboot.h",
  "sys/resource.h",
  "sys/socket.h",
  "sys/stat.h",
  "sys/statfs.h",
  "sys/syscall.h",
  "sys/uio.h",
  "sys/wait.h",
  "termios.h",
  "linux/vm_sockets.h",
  "linux/netlink.h",
  "linux/rtnetlink.h",
  "linux/neighbour.h",
  "linux/if.h",
] as const;

/** Compiles a C program that prints `name value` lines and runs it: what the C library says. */
function cValues(expressions: Readonly<Record<string, string>>): Map<string, bigint> {
  const folder = mkdtempSync(join(tmpdir(), "layouts-"));
  try {
    const prints = Object.entries(expressions).map(
      ([name, expression]) => `printf("${name} %lld\\n", (long long)(${expression}));`,
    );
    const includes = HEADERS.map((header) => `#include <${header}>`);
    const source = ["#define _GNU_SOURCE", ...includes, "int main(void) {", ...prints, "}"].join("\n");
    writeFileSync(join(folder, "values.c"), source);
    const compiled = spawnSync("gcc", ["-o", "values", "values.c"], { cwd: folder, encoding: "utf8" });
    expect(compiled.stderr).toBe("");
    const { stdout } = spawnSync(join(folder, "values"), { encoding: "utf8" });
    return new Map(
      stdout
        .trimEnd()
        .split("\n")
        .map((line) => line.split(" ") as [string, string])
        .map(([name, value]) => [name, BigInt(value)]),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Names that C has in a structure of another name; ours of padding have none. */
const FIELDS: Readonly<Record<string, string>> = {
  "statx_timestamp.reserved": "__reserved",
  "siginfo_t.pad": "",
  "siginfo_t.rest": "",
  "statx.spare0": "",
  "statx.spare": "",
  "statfs.f_spare": "f_spare",
};

const STRUCTURE = (name: LayoutName): string => (name === "siginfo_t" ? name : `struct ${name}`);

describe("structures", () => {
  const expressions: Record<string, string> = {};
  for (const name of Object.keys(layouts) as LayoutName[]) {
    expressions[name] = `sizeof(${STRUCTURE(name)})`;
    for (const field of Object.keys(layouts[name])) {
      const cField = FIELDS[`${name}.${field}`] ?? field;
      if (cField !== "") expressions[`${name}.${field}`] = `offsetof(${STRUCTURE(name)}, ${cField})`;
    }
  }
  const inC = cValues(expressions);
  const libc = new LibC();

  it.each(Object.keys(layouts) as LayoutName[])("%s has the C library's size and offsets", (name) => {
    const type = libc.structure(name);
    expect(BigInt(type.size)).toBe(inC.get(name));
    const fields = Object.keys(layouts[name]).filter((field) => inC.has(`${name}.${field}`));
    expect(fields.length).toBeGreaterThan(0);
    for (const field of fields) {
      expect([field, BigInt(libc.koffi.offsetof(type, field))]).toEqual([field, inC.get(`${name}.${field}`)]);
    }
  });
});

describe("constants", () => {
  it("have the C library's values", () => {
    const prefixes: Readonly<Record<string, (name: string) => string>> = {
      OpenFlag: (name) => `O_${name}`,
      Resolve: (name) => `RESOLVE_${name}`,
      At: (name) => `AT_${name}`,
      Rename: (name) => `RENAME_${name}`,
      MountAttribute: (name) => (name === "ATIME" ? "MOUNT_ATTR__ATIME" : `MOUNT_ATTR_${name}`),
      MountFlag: (name) => `MS_${name}`,
      Unmount: (name) => (["FORCE", "DETACH", "EXPIRE"].includes(name) ? `MNT_${name}` : `UMOUNT_${name}`),
      Wait: (name) => `W${name}`,
      ChildCode: (name) => `CLD_${name}`,
      Prctl: (name) => `PR_${name}`,
      CloneFlag: (name) => `CLONE_${name}`,
      Ioctl: (name) => (name.startsWith("TIOC") ? name : `IOCTL_${name}`),
      Socket: (name) => (name.startsWith("AF_") ? name : `SOCK_${name}`),
      Vsock: (name) => `VMADDR_${name}`,
      Reboot: (name) =>
        ({ RESTART: "RB_AUTOBOOT", HALT: "RB_HALT_SYSTEM", POWER_OFF: "RB_POWER_OFF", CAD_OFF: "RB_DISABLE_CAD" })[
          name
        ] ?? name,
      Rlimit: (name) => name,
      FileType: (name) =>
        `S_IF${{ MASK: "MT", SOCKET: "SOCK", SYMLINK: "LNK", REGULAR: "REG", BLOCK: "BLK", DIRECTORY: "DIR", CHARACTER: "CHR", FIFO: "IFO" }[name] ?? name}`,
    };
    const expressions: Record<string, string> = {};
    const ours = new Map<string, bigint>();
    for (const [group, values] of Object.entries(constants)) {
      for (const [name, value] of Object.entries(values)) {
        expressions[`${group}.${name}`] = prefixes[group]?.(name) ?? name;
        // Reboot commands and the two vsock wildcards use the top bit of an int; compare 32 bits.
        ours.set(`${group}.${name}`, BigInt.asUintN(32, BigInt(value)));
      }
    }
    const inC = [...cValues(expressions)].map(([name, value]) => [name, BigInt.asUintN(32, value)] as const);
    expect(new Map(inC)).toEqual(ours);
  });

  it("have the kernel's values for netlink", () => {
    const prefixes: Readonly<Record<string, string>> = {
      NetlinkProtocol: "NETLINK_",
      NetlinkFlag: "NLM_F_",
      LinkFlag: "IFF_",
      LinkAttribute: "IFLA_",
      AddressAttribute: "IFA_",
      RouteAttribute: "RTA_",
      RouteMetric: "RTAX_",
      NeighbourAttribute: "NDA_",
      Family: "AF_",
    };
    const { NUD_PERMANENT, ...groups } = netlink;
    const ours = new Map<string, bigint>([["NUD_PERMANENT", BigInt(NUD_PERMANENT)]]);
    for (const [group, values] of Object.entries(groups)) {
      for (const [name, value] of Object.entries(values)) ours.set(`${prefixes[group] ?? ""}${name}`, BigInt(value));
    }
    expect(cValues(Object.fromEntries([...ours.keys()].map((name) => [name, name])))).toEqual(ours);
  });

  it("name every error of the C library", () => {
    const listing = spawnSync("gcc", ["-dM", "-E", "-include", "errno.h", "-"], { input: "", encoding: "utf8" });
    const inC = [...listing.stdout.matchAll(/^#define (E[A-Z0-9]+) (\d+)$/gmu)].map(
      ([, name, value]) => [name, Number(value)] as const,
    );
    expect(inC.length).toBeGreaterThan(100);
    expect(Errno).toEqual(Object.fromEntries(inC));
  });

  it("number the raw system calls as the kernel's header does for this machine", () => {
    const inC = cValues(Object.fromEntries(Object.keys(rawCalls).map((name) => [name, `SYS_${name}`])));
    for (const [name, call] of Object.entries(rawCalls)) {
      expect([name, BigInt(call[process.arch as "x64" | "arm64"])]).toEqual([name, inC.get(name)]);
    }
  });
});
