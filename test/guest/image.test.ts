import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempDisposableSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { bundlesOf, FLAVOURS, type Flavour } from "../../guest-rootfs/flavour.ts";
import { peSections } from "../../guest-rootfs/image/pe.ts";
import { DEBIAN, IMAGES, LOCK, ROOT } from "../../guest-rootfs/paths.ts";
import { type BuiltImage, builtImage, readImage } from "../fixtures/boot-image.ts";

interface Listed {
  readonly path: string;
  readonly type: "directory" | "link" | "file";
  readonly mode: string;
  readonly owner: string;
  readonly origin?: string;
  readonly target?: string;
  readonly size?: number;
  readonly sha256?: string;
}

const sha256 = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
const listedIn = (image: BuiltImage): readonly Listed[] =>
  JSON.parse(readFileSync(join(image.folder, "manifest.json"), "utf8")) as readonly Listed[];
const nodeArgs = (...args: string[]): string[] => [join(ROOT, "guest-rootfs/rootfs.ts"), ...args];

/** Texts of code that only some flavours may have; each is in the others' bundles, so that none is misspelt here. */
const MARKS: readonly (readonly [text: string, flavours: readonly Flavour[]])[] = [
  // A tcp:// address, on which a daemon would listen or dial.
  ["expected host:port", ["devkit"]],
  // The debug console, a shell for whoever connects.
  ["no shell found to launch debug console", ["devkit"]],
  // A daemon's debugger.
  ["node:inspector", ["devkit"]],
];

const EXECUTABLES: readonly string[] = [
  "/pause_bundle/rootfs/pause",
  "/usr/bin/crun",
  "/usr/bin/node",
  "/usr/lib/nacre/api-server-rest.mjs",
  "/usr/lib/nacre/attestation-agent.mjs",
  "/usr/lib/nacre/confidential-data-hub.mjs",
  "/usr/lib/nacre/kata-agent.mjs",
  "/usr/lib/nacre/nvrc.mjs",
  "/usr/lib64/ld-linux-x86-64.so.2",
  "/usr/sbin/init",
  "/usr/sbin/ldconfig",
  "/usr/sbin/modprobe",
  "/usr/sbin/veritysetup",
];

describe.for(FLAVOURS)("the %s image", (flavour) => {
  const image = builtImage(flavour);
  const listed = listedIn(image);
  const disk = join(image.folder, image.disk);

  it("says what boots it", () => {
    expect(image.flavour).toBe(flavour);
    expect(image.arch).toBe("x86_64");
    for (const [name, digest] of Object.entries(image.sha256))
      expect([name, sha256(join(image.folder, name))]).toEqual([name, digest]);
    const extensions = Object.values(image.extensions).map(({ disk: name }) => name);
    const files = [image.kernel, image.initramfs, image.unifiedKernelImage, image.disk, ...extensions];
    expect(Object.keys(image.sha256)).toEqual(files);
    expect(image.commandLine).toContain(` 0 sha256 ${image.rootHash} `);
  });

  it("holds what the manifest lists and nothing else, as this machine's kernel reads it", (context) => {
    if (!readFileSync("/proc/filesystems", "utf8").includes("erofs")) context.skip("this kernel has no erofs");
    using folder = mkdtempDisposableSync(join(tmpdir(), "image-"));
    const [partition, at] = ["partition", "mounted"].map((name) => join(folder.path, name)) as [string, string];
    writeFileSync(partition, readFileSync(disk).subarray(1 << 20));
    mkdirSync(at);
    execFileSync("/bin/mount", ["-t", "erofs", "-o", "loop,ro", partition, at]);
    try {
      expect(walk(at)).toEqual(listed.map(({ origin: _origin, ...entry }) => entry));
    } finally {
      execFileSync("/bin/umount", [at]);
    }
  });

  it("has the root hash of its root", () => {
    const text = readFileSync(join(image.folder, `root_hash_${flavour}.txt`), "utf8");
    const params =
      /^root_hash=([0-9a-f]{64}),salt=([0-9a-f]{64}),data_blocks=(\d+),data_block_size=4096,hash_block_size=4096\n$/u.exec(
        text,
      );
    expect(params?.[1]).toBe(image.rootHash);
    using folder = mkdtempDisposableSync(join(tmpdir(), "image-"));
    const [root, tree] = partitions(disk, folder.path);
    const options = ["--no-superblock", "--hash=sha256", `--salt=${params?.[2]}`, `--data-blocks=${params?.[3]}`];
    expect(spawnSync("/usr/sbin/veritysetup", ["verify", ...options, root, tree, image.rootHash]).status).toBe(0);
  });

  it("has no shell, no package manager, no interpreter but Node, and nothing that gives rights", () => {
    // Whatever else may be executed would have to be added here.
    const executable = listed.filter(({ type, mode }) => type === "file" && (Number.parseInt(mode, 8) & 0o111) !== 0);
    expect(executable.map(({ path }) => path)).toEqual(EXECUTABLES);
    expect(
      listed.filter(({ type, mode }) => type !== "directory" && (Number.parseInt(mode, 8) & 0o7000) !== 0),
    ).toEqual([]);
    expect(
      listed.filter(
        ({ mode, type, path }) => type === "directory" && Number.parseInt(mode, 8) > 0o777 && path !== "/tmp",
      ),
    ).toEqual([]);
    expect(listed.filter(({ type, mode }) => type === "file" && (Number.parseInt(mode, 8) & 0o022) !== 0)).toEqual([]);
    expect(listed.filter(({ owner }) => owner !== "0:0")).toEqual([]);
    expect(listed.filter(({ path }) => path.endsWith(".map"))).toEqual([]);
    for (const { path, type, origin } of listed)
      if (type === "file") expect([path, origin]).toEqual([path, expect.stringMatching(/^pkg:/u)]);
  });

  it("is below 120 MB, kernel and initramfs with it", () => {
    const sizes = [image.kernel, image.initramfs, image.disk].map((name) => lstatSync(join(image.folder, name)).size);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(120e6);
  });

  it("names no path of the machine that built it", () => {
    for (const name of readdirSync(image.folder).filter((name) => /\.(?:json|txt)$/u.test(name))) {
      expect([name, readFileSync(join(image.folder, name), "utf8").includes(ROOT)]).toEqual([name, false]);
    }
  });

  it.for(MARKS)("has the code with %j only where it may", ([mark, flavours]) => {
    const { bundles } = bundlesOf(flavour);
    const digests = new Set(listed.map(({ sha256: digest }) => digest));
    const names = readdirSync(bundles).filter(
      (name) => name.endsWith(".mjs") && digests.has(sha256(join(bundles, name))),
    );
    expect(names).toContain("kata-agent.mjs");
    const found = names.some((name) => readFileSync(join(bundles, name), "utf8").includes(mark));
    expect(found).toBe(flavours.includes(flavour));
  });

  it("has the policy of its flavour", () => {
    const policy = (name: string): string => sha256(join(ROOT, "guest-rootfs/policies", name));
    const found = listed.find(({ path }) => path === "/etc/kata-opa/default-policy.rego")?.sha256;
    expect(found).toBe(policy(flavour === "strict" ? "closed.rego" : "allow-all.rego"));
    // Under no name at all.
    expect(listed.some(({ sha256: digest }) => digest === policy("allow-all.rego"))).toBe(flavour !== "strict");
  });
});

describe("building an image", () => {
  it("gives the same bytes in another folder", () => {
    // On one file system, for the links.
    using other = mkdtempDisposableSync(join(ROOT, "build/elsewhere-"));
    copyProject(other.path);
    for (const options of [[], ["--flavour", "devkit", "--initrd"]]) {
      const build = join(other.path, "guest-rootfs/rootfs.ts");
      execFileSync(process.execPath, [build, "--newest-if-gone", ...options], { cwd: other.path });
    }
    const digests = (images: string, name: string): object =>
      Object.fromEntries(readdirSync(join(images, name)).map((file) => [file, sha256(join(images, name, file))]));
    for (const name of [...FLAVOURS, "devkit-initrd"]) {
      expect(digests(join(other.path, "build/images"), name)).toEqual(digests(IMAGES, name));
    }
  }, 600_000);

  it("refuses a package whose bytes are not the locked ones", () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "lock-"));
    const lock = join(folder.path, "lock.json");
    writeFileSync(
      lock,
      readFileSync(LOCK, "utf8").replace(/(?<="name": "libcap2"[^}]*"sha256": ")[0-9a-f]/u, (digit) =>
        digit === "0" ? "1" : "0",
      ),
    );
    const { status, stderr } = spawnSync(process.execPath, nodeArgs("--lock", lock, "--out", folder.path), {
      encoding: "utf8",
    });
    expect(stderr).toMatch(/libcap2=\S+: expected sha256 [0-9a-f]{64}, got [0-9a-f]{64}/u);
    expect(status).toBe(1);
  });

  it("names the way out where the archive has dropped a version, and takes newer ones loudly when told", () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "lock-"));
    const lock = join(folder.path, "lock.json");
    const gone = (text: string): string => text.replace(/(?<="name": "libcap2",\s+"version": ")[^"]*/u, "1:1.0-0");
    writeFileSync(
      lock,
      gone(readFileSync(LOCK, "utf8")).replace(/(?<="version": "1:1.0-0",\s+"sha256": ")[0-9a-f]{64}/u, "0".repeat(64)),
    );
    const build = (...more: string[]): { status: number | null; stderr: string } =>
      spawnSync(process.execPath, nodeArgs("--flavour", "devkit", "--lock", lock, "--out", folder.path, ...more), {
        encoding: "utf8",
      });
    const refused = build();
    expect(refused.stderr).toContain(
      "libcap2=1:1.0-0 (amd64): expected it in Debian's archive, which no longer has it; run `make rootfs-update`",
    );
    expect(refused.status).toBe(1);
    const taken = build("--newest-if-gone");
    expect(taken.stderr).toContain("UNLOCKED: libcap2 (amd64): 1:1.0-0 -> ");
    expect(taken.status).toBe(0);
    expect(JSON.parse(readFileSync(join(folder.path, "devkit/image.json"), "utf8"))).toMatchObject({ locked: false });
  }, 600_000);

  it("adds what a baker's file names, and only that", () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "baker-"));
    const put = (name: string, text: string): void => writeFileSync(join(folder.path, name), text);
    put("policy.rego", "package agent_policy\n");
    put("motd", "hello\n");
    put(
      "baker.json",
      JSON.stringify({
        policy: "policy.rego",
        commandLine: ["loglevel=5"],
        files: [{ path: "/opt/app/motd", source: "motd", mode: "0444" }],
      }),
    );
    execFileSync(
      process.execPath,
      nodeArgs(
        "--flavour",
        "strict",
        "--baker",
        join(folder.path, "baker.json"),
        "--out",
        folder.path,
        "--newest-if-gone",
      ),
    );
    const made: BuiltImage = {
      ...(JSON.parse(readFileSync(join(folder.path, "strict/image.json"), "utf8")) as BuiltImage),
      folder: join(folder.path, "strict"),
    };
    expect(made.commandLine).toContain(" loglevel=5 dm-mod.create=");
    const before = new Set(listedIn(builtImage("strict")).map((entry) => JSON.stringify(entry)));
    const added = listedIn(made).filter((entry) => !before.has(JSON.stringify(entry)));
    expect(added.map(({ path, mode, origin }) => [path, mode, origin])).toEqual([
      ["/etc/kata-opa/default-policy.rego", "644", "pkg:generic/baker"],
      ["/opt/app", "755", undefined],
      ["/opt/app/motd", "444", "pkg:generic/baker"],
    ]);
  }, 600_000);

  it("has no stage 1 for a baker's kernel that opens the root itself", () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "baker-"));
    const image = builtImage("kata");
    const kernel = { image: join(image.folder, image.kernel), opensRoot: true };
    writeFileSync(join(folder.path, "baker.json"), JSON.stringify({ kernel }));
    const args = ["--flavour", "kata", "--baker", join(folder.path, "baker.json"), "--out", folder.path];
    execFileSync(process.execPath, nodeArgs(...args, "--newest-if-gone"));
    const made = readImage(join(folder.path, "kata"));
    expect(made.initramfs).toBeUndefined();
    expect(readdirSync(made.folder).filter((name) => name.endsWith(".cpio"))).toEqual([]);
    expect(made.commandLine).toContain(` 0 sha256 ${made.rootHash} `);
    const sections = peSections(readFileSync(join(made.folder, made.unifiedKernelImage)));
    expect(sections.slice(-3).map(({ name }) => name)).toEqual([".linux", ".osrel", ".cmdline"]);
    // What it needs is built in: there is nothing to load.
    const modules = listedIn(made).filter(
      ({ path }) => path.startsWith("/usr/lib/modules/") || path === "/usr/lib/nacre/modules",
    );
    expect(modules.map(({ path, size }) => [path, size])).toEqual([["/usr/lib/nacre/modules", 0]]);
  }, 600_000);
});

/** What is in a mounted root, in the manifest's words and order. */
function walk(root: string): Omit<Listed, "origin">[] {
  const below = (folder: string): string[] =>
    readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
      const path = join(folder, entry.name);
      return [path, ...(entry.isDirectory() ? below(path) : [])];
    });
  return below("/")
    .sort()
    .map((path) => describePath(root, path));
}

function describePath(root: string, path: string): Omit<Listed, "origin"> {
  const at = join(root, path);
  const status = lstatSync(at);
  const common = { path, mode: (status.mode & 0o7777).toString(8), owner: `${status.uid}:${status.gid}` };
  if (status.isDirectory()) return { ...common, type: "directory" };
  if (status.isSymbolicLink()) return { ...common, type: "link", target: readlinkSync(at) };
  return { ...common, type: "file", size: status.size, sha256: sha256(at) };
}

/** The two partitions of a disk as files of their own. */
function partitions(disk: string, folder: string): [string, string] {
  const { partitiontable } = JSON.parse(execFileSync("/sbin/sfdisk", ["--json", disk], { encoding: "utf8" })) as {
    partitiontable: { partitions: { start: number; size: number }[] };
  };
  const bytes = readFileSync(disk);
  return partitiontable.partitions.map(({ start, size }, i) => {
    const path = join(folder, `${i}`);
    writeFileSync(path, bytes.subarray(start * 512, (start + size) * 512));
    return path;
  }) as [string, string];
}

/** The project as git has it, with the installed packages as hard links, and Debian's. */
function copyProject(to: string): void {
  const args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  for (const file of execFileSync("git", args, { cwd: ROOT, encoding: "utf8" }).split("\0")) {
    if (file !== "" && existsSync(join(ROOT, file))) cpSync(join(ROOT, file), join(to, file));
  }
  execFileSync("/bin/cp", ["-al", join(ROOT, "node_modules"), join(to, "node_modules")]);
  mkdirSync(join(to, "build"));
  symlinkSync(DEBIAN, join(to, "build/debian"));
}
