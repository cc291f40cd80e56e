import { execFileSync, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { lstatSync, mkdtempDisposableSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { bundle, ENTRIES } from "../../guest-rootfs/bundle.ts";
import { elfNeeds, parseElfNeeds } from "../../guest-rootfs/elf.ts";
import { BUNDLES, RESOLVED_MANIFEST, ROOT, SOURCE_MAPS, TREE } from "../../guest-rootfs/paths.ts";
import { programPath } from "../../guest-rootfs/programs.ts";
import type { ResolvedEntry } from "../../guest-rootfs/tree.ts";

const sha256 = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
const manifest = JSON.parse(readFileSync(RESOLVED_MANIFEST, "utf8")) as readonly ResolvedEntry[];

/** Every path of the tree, links not followed. */
function walk(folder = "/"): string[] {
  return readdirSync(join(TREE, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return [path, ...(entry.isDirectory() ? walk(path) : [])];
  });
}

describe("the guest's root directory", () => {
  it("holds what the manifest lists and nothing else", () => {
    expect(walk().sort()).toEqual(manifest.map(({ path }) => path).sort());
  });

  it("holds it with the listed type, mode and digest, owned by root", () => {
    for (const { path, type, mode, target, sha256: digest } of manifest) {
      const at = join(TREE, path);
      const status = lstatSync(at);
      const kind = status.isDirectory() ? "directory" : status.isSymbolicLink() ? "link" : "file";
      expect([path, kind, status.uid, status.gid]).toEqual([path, type, 0, 0]);
      if (kind === "link") expect([path, readlinkSync(at)]).toEqual([path, target]);
      else expect([path, (status.mode & 0o7777).toString(8)]).toEqual([path, mode]);
      if (kind === "file") expect([path, sha256(at)]).toEqual([path, digest]);
    }
  });

  it("has no shell, no package manager, no compiler, and nothing that gives rights", () => {
    const names = walk().map((path) => path.split("/").at(-1) ?? "");
    for (const name of [
      "sh",
      "bash",
      "dash",
      "busybox",
      "apt",
      "dpkg",
      "gcc",
      "perl",
      "python3",
      "npm",
      "sudo",
      "su",
    ]) {
      expect(names).not.toContain(name);
    }
    expect(manifest.filter(({ mode, type }) => type === "file" && (Number.parseInt(mode, 8) & 0o6000) !== 0)).toEqual(
      [],
    );
  });

  it("has the libraries of every program in it: each one runs", () => {
    const version = (path: string, ...args: string[]): string =>
      execFileSync("/usr/sbin/chroot", [TREE, path, ...args], { encoding: "utf8", env: {} }).trim();
    expect(version("/usr/bin/node", "--version")).toBe(process.version);
    expect(version("/usr/sbin/runc", "--version")).toMatch(/^runc version /u);
    expect(version("/usr/bin/node", "/usr/bin/kata-agent", "--version")).toMatch(/^kata-agent version /u);
    expect(version("/usr/bin/kata-agent", "--version")).toMatch(/^kata-agent version /u);
    expect(version("/usr/local/bin/attestation-agent", "--version")).toMatch(/^attestation-agent /u);
    expect(version("/usr/local/bin/api-server-rest", "--version")).toMatch(/^api-server-rest /u);
    expect(version("/usr/local/bin/confidential-data-hub", "--version")).toMatch(/^confidential-data-hub /u);
  });

  it("has an init that touches nothing where it is not the first process", () => {
    const { status, stdout } = spawnSync("/usr/sbin/chroot", [TREE, "/usr/sbin/nvrc"], { encoding: "utf8", env: {} });
    expect(stdout).toBe(`NVRC version=0.1.0 sha256=${sha256(join(BUNDLES, "nvrc-simulated.mjs"))}\n`);
    expect(status).toBe(0);
  });
});

describe("the bundles", () => {
  it("are the same bytes when they are made in two places, and name no path of this machine", async () => {
    using one = mkdtempDisposableSync(join(tmpdir(), "bundle-"));
    using two = mkdtempDisposableSync(join(tmpdir(), "bundle-in-a-longer-folder-"));
    const digests = async (folder: string): Promise<string[]> => {
      await bundle("devkit", { bundles: join(folder, "bundles"), sourceMaps: join(folder, "maps") });
      return readdirSync(join(folder, "bundles")).map((name) => `${name} ${sha256(join(folder, "bundles", name))}`);
    };
    const made = await digests(one.path);
    expect(made.length).toBeGreaterThan(ENTRIES.length);
    expect(await digests(two.path)).toEqual(made);
    for (const { name } of ENTRIES) {
      expect(readFileSync(join(one.path, "bundles", `${name}.mjs`), "utf8")).not.toContain(ROOT);
    }
  });

  it("keep their source maps outside of the image", () => {
    expect(readdirSync(SOURCE_MAPS).sort()).toEqual(ENTRIES.map(({ name }) => `${name}.mjs.map`).sort());
    expect(manifest.filter(({ path }) => path.endsWith(".map"))).toEqual([]);
    for (const { name } of ENTRIES) {
      expect(readFileSync(join(BUNDLES, `${name}.mjs`), "utf8")).not.toContain("sourceMappingURL");
    }
  });
});

describe("the pause program", () => {
  const pause = programPath("pause");

  it("needs no loader and no library", () => {
    expect(elfNeeds(pause)).toEqual({ interpreter: undefined, libraries: [] });
  });

  it.for(["SIGTERM", "SIGINT"] as const)("ends with status 0 on %s", async (signal) => {
    const child = spawn(pause, { stdio: "ignore" });
    await once(child, "spawn");
    const exited = once(child, "exit");
    // Not before it has blocked its signals: then it is the system call that it waits in.
    await waiting(child.pid ?? 0);
    child.kill(signal);
    expect(await exited).toEqual([0, null]);
  });

  it("collects orphans as the first process of a pid namespace", async () => {
    // The shell's child becomes an orphan of `pause`, which the shell has turned into.
    const script = "( /bin/sleep 0 & ) ; exec /bin/true";
    const args = [
      "--pid",
      "--fork",
      "--kill-child",
      "--mount-proc",
      "--",
      "/bin/sh",
      "-c",
      `( ${script} ) & exec "$0"`,
    ];
    const child = spawn("/usr/bin/unshare", [...args, pause], { stdio: "ignore" });
    await once(child, "spawn");
    const exited = once(child, "exit");
    const init = await firstChild(child.pid ?? 0, pause);
    await waiting(init);
    await until(() => children(init).length === 0);
    process.kill(init, "SIGTERM");
    expect(await exited).toEqual([0, null]);
  });
});

describe("reading ELF files", () => {
  it("tells the loader and the libraries of a program", () => {
    const needs = elfNeeds(join(TREE, "usr/sbin/runc"));
    expect(needs?.interpreter).toMatch(/^\/lib(64)?\/ld-linux/u);
    expect(needs?.libraries).toContain("libc.so.6");
  });

  it("passes over what is no ELF file", () => {
    expect(parseElfNeeds(Buffer.from("#!/bin/sh\n"), "script")).toBeUndefined();
    expect(parseElfNeeds(Buffer.alloc(0), "empty")).toBeUndefined();
  });

  it("refuses one that is cut off anywhere, and never reads beyond it", () => {
    const whole = readFileSync(join(TREE, "usr/lib/nacre/koffi.node"));
    expect(parseElfNeeds(whole, "koffi")?.libraries).toContain("libc.so.6");
    for (const length of [64, 100, 500, 1000]) {
      expect(() => parseElfNeeds(whole.subarray(0, length), "koffi")).toThrow("koffi: expected a whole ELF file");
    }
  });
});

function children(pid: number): string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").split(" ").filter(Boolean);
}

/** Looks again as often as the event loop turns: these facts of other processes bring no event. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

async function firstChild(pid: number, program: string): Promise<number> {
  let found = 0;
  await until(() => {
    found = Number(children(pid)[0] ?? 0);
    return found > 0 && readFileSync(`/proc/${found}/cmdline`, "latin1").startsWith(program);
  });
  return found;
}

/** In rt_sigtimedwait(2), by its numbers on x86_64 and aarch64. */
async function waiting(pid: number): Promise<void> {
  await until(() => /^(128|137) /u.test(readFileSync(`/proc/${pid}/syscall`, "latin1")));
}
