import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempDisposableSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";

import { parse } from "smol-toml";
import { describe, expect, it } from "vitest";

import { FLAVOURS } from "../../guest-rootfs/flavour.ts";
import { extensionEntries } from "../../guest-rootfs/image/extensions.ts";
import { KernelModules } from "../../guest-rootfs/image/kernel-modules.ts";
import { debianKernel, moduleEntries } from "../../guest-rootfs/image/kernel.ts";
import { kernelPackage } from "../../guest-rootfs/debian/packages.ts";
import { readLock } from "../../guest-rootfs/debian/lock.ts";
import { DEBIAN, LOCK } from "../../guest-rootfs/paths.ts";
import { fetchSources, machineSources } from "../../guest-rootfs/sources.ts";
import { bootImage, type BuiltImage, builtImage } from "../fixtures/boot-image.ts";

const STARTED = /ttRPC server started/u;
const image = builtImage("devkit");

/** An extension's file system, mounted while `use` runs. */
function mounted(built: BuiltImage, name: string, use: (root: string) => void): void {
  using folder = mkdtempDisposableSync(join(tmpdir(), "extension-"));
  const [partition, at] = ["partition", "mounted"].map((file) => join(folder.path, file)) as [string, string];
  writeFileSync(partition, readFileSync(join(built.folder, built.extensions[name]?.disk ?? "none")).subarray(1 << 20));
  mkdirSync(at);
  execFileSync("/bin/mount", ["-t", "erofs", "-o", "loop,ro", partition, at]);
  try {
    use(at);
  } finally {
    execFileSync("/bin/umount", [at]);
  }
}

describe.for(FLAVOURS)("extensions of the %s image", (flavour) => {
  const built = builtImage(flavour);

  it("are those of its flavour, pinned by its root", () => {
    expect(Object.keys(built.extensions)).toEqual(flavour === "devkit" ? ["coco", "devkit"] : ["coco"]);
    const pins = JSON.stringify({
      schema_version: 1,
      extensions: Object.fromEntries(
        Object.entries(built.extensions).map(([name, { verityParams }]) => [name, [verityParams]]),
      ),
    });
    const listed = JSON.parse(readFileSync(join(built.folder, "manifest.json"), "utf8")) as {
      path: string;
      size?: number;
    }[];
    const size = listed.find(({ path }) => path === "/etc/nacre/extensions.json")?.size;
    expect(size).toBe(Buffer.byteLength(`${JSON.stringify(JSON.parse(pins), undefined, 1)}\n`));
    for (const [name, { verityParams }] of Object.entries(built.extensions)) {
      expect(readFileSync(join(built.folder, `root_hash_extension-${name}.txt`), "utf8")).toBe(`${verityParams}\n`);
    }
  });
});

describe("the extension coco", () => {
  it("names files of its own in components.toml, by variables that Kata's agent knows", () => {
    mounted(image, "coco", (root) => {
      const file = parse(readFileSync(join(root, "etc/kata-extensions/components.toml"), "utf8")) as {
        schema_version: number;
        paths: Record<string, string>;
        process: {
          id: string;
          level: number;
          path: string;
          args: string[];
          config: string;
          env: Record<string, string>;
        }[];
      };
      expect(file.schema_version).toBe(1);
      expect(file.process.map(({ id, level }) => [id, level])).toEqual([
        ["attestation-agent", 1],
        ["confidential-data-hub", 2],
        ["api-server-rest", 3],
      ]);
      expect(readdirSync(join(root, file.paths["pause-bundle"] ?? ""))).toEqual(["config.json", "rootfs"]);
      for (const { id, path, args, env } of file.process) {
        const fill = (text: string): string => text.replaceAll("${extension_root}", root);
        const vars = Object.fromEntries(Object.entries(env).map(([key, value]) => [key, fill(value)]));
        const { stdout } = spawnSync(join(root, path), [...args.map(fill), "--version"], {
          env: vars,
          encoding: "utf8",
        });
        expect(stdout.split(" ")[0]).toBe(id);
      }
    });
  });

  it("leaves the C library to the base, whose loader starts it", () => {
    mounted(image, "coco", (root) => {
      const [folder = ""] = readdirSync(join(root, "usr/lib")).filter((name) => name.endsWith("-linux-gnu"));
      expect(readdirSync(join(root, "usr/lib", folder))).toEqual(["libgcc_s.so.1", "libstdc++.so.6"]);
    });
  });
});

describe("the extension devkit", () => {
  it("has every tool that it names, and the shell that the debug console starts", () => {
    mounted(image, "devkit", (root) => {
      const applets = execFileSync(join(root, "bin/busybox"), ["--list"], { encoding: "utf8" }).split("\n");
      const links = readdirSync(join(root, "bin")).filter((name) => name !== "busybox" && name !== "devkit-sh");
      expect(links.filter((name) => !applets.includes(name))).toEqual([]);
      const [first] = readFileSync(join(root, "bin/devkit-sh"), "utf8").split("\n");
      expect(first).toBe("#!/run/kata-extensions/devkit/bin/busybox sh");
    });
  });
});

describe("the extension gpu", () => {
  it("is a baker's folder: files, links, modes", () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "gpu-"));
    mkdirSync(join(folder.path, "usr/lib/x86_64-linux-gnu"), { recursive: true });
    writeFileSync(join(folder.path, "usr/lib/x86_64-linux-gnu/libcuda.so.1.2"), "library", { mode: 0o600 });
    symlinkSync("libcuda.so.1.2", join(folder.path, "usr/lib/x86_64-linux-gnu/libcuda.so.1"));
    writeFileSync(join(folder.path, "nvidia-smi"), "program", { mode: 0o700 });
    const entries = extensionEntries({ sources: machineSources(), flavour: "strict", gpu: folder.path }).get("gpu");
    expect(
      entries?.map((entry) => [entry.path, entry.type, entry.type === "link" ? entry.target : entry.mode]),
    ).toEqual([
      ["/nvidia-smi", "file", 0o755],
      ["/usr", "directory", 0o755],
      ["/usr/lib", "directory", 0o755],
      ["/usr/lib/x86_64-linux-gnu", "directory", 0o755],
      ["/usr/lib/x86_64-linux-gnu/libcuda.so.1", "link", "libcuda.so.1.2"],
      ["/usr/lib/x86_64-linux-gnu/libcuda.so.1.2", "file", 0o644],
    ]);
  });

  it.for([
    [
      "a link that leads out",
      (at: string) => symlinkSync("../../etc/shadow", join(at, "link")),
      "expected a link within the folder",
    ],
    [
      "a link to the guest's root",
      (at: string) => symlinkSync("/etc/shadow", join(at, "link")),
      "expected a link within the folder",
    ],
    ["a program with a set-id bit", (at: string) => chmodSync(join(at, "file"), 0o4755), "expected no set-id bit"],
    [
      "a pipe",
      (at: string) => execFileSync("/usr/bin/mkfifo", [join(at, "pipe")]),
      "expected a file, a folder or a link",
    ],
  ] as const)("refuses %s", ([, put, message]) => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "gpu-"));
    writeFileSync(join(folder.path, "file"), "");
    put(folder.path);
    expect(() => extensionEntries({ sources: machineSources(), flavour: "kata", gpu: folder.path })).toThrow(message);
  });
});

describe("kernel modules", () => {
  const unpacked = fetchSources(readLock(LOCK), "x64", {
    folder: DEBIAN,
    newestIfGone: true,
    warn: () => {},
  }).package(kernelPackage("x64"));
  const kernel = debianKernel(unpacked);
  const modules = kernel.modules as KernelModules;

  it("are loaded with what modprobe would load, by the index in the image", () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "modules-"));
    const release = modules.folder.split("/").at(-1) ?? "";
    const wanted = { load: [], include: ["xfs", "nft_ct"] };
    for (const entry of moduleEntries(kernel, { more: wanted, stage1: true })) {
      mkdirSync(join(folder.path, entry.path, ".."), { recursive: true });
      if (entry.type === "file") symlinkSync(entry.source.path, join(folder.path, entry.path));
      else if (entry.type === "text") writeFileSync(join(folder.path, entry.path), entry.content);
    }
    // The base is found under /lib, as in the guest.
    symlinkSync("usr/lib", join(folder.path, "lib"));
    const early = modules.inOrder(["virtio_pci", "virtio_blk", "dm-mod", "dm-verity", "erofs"]).map(({ path }) => path);
    for (const name of [...wanted.include, "overlay", "dm-integrity", "virtio_net"]) {
      const args = ["--dirname", folder.path, "--set-version", release, "--show-depends", name];
      const shown = execFileSync("/sbin/modprobe", args, { encoding: "utf8" }).trim().split("\n");
      const ours = modules.inOrder([name]).filter(({ path }) => !early.includes(path));
      const below = (text: string): string => text.trim().replace(/^.*\/lib\/modules\//u, "");
      expect(shown.map(below).sort()).toEqual(ours.map(({ path }) => below(path)).sort());
    }
  });

  it("come after what they need, by modinfo", () => {
    const order = modules.inOrder(["nft_ct", "dm-integrity", "virtio_net", "vmw_vsock_virtio_transport", "erofs"]);
    const nameOf = (path: string): string => basename(path, ".ko").replaceAll("-", "_");
    const seen = new Set<string>();
    for (const { path, source } of order) {
      const needs = execFileSync("/sbin/modinfo", ["-F", "depends", source.path], { encoding: "utf8" }).trim();
      for (const other of needs.split(",").filter(Boolean))
        expect([path, seen.has(other.replaceAll("-", "_"))]).toEqual([path, true]);
      seen.add(nameOf(path));
    }
  });

  it("of names that the kernel does not have are refused", () => {
    expect(() => modules.inOrder(["overlay", "not_a_module"])).toThrow("kernel module not_a_module: expected it in");
  });

  it("that are built in need nothing", () => {
    expect(modules.inOrder(["ext4", "sha256_generic"])).toEqual([]);
  });
});

describe("extensions in QEMU", () => {
  const devkit = image.extensions["devkit"];
  const parameter = `kata.extension.devkit.verity_params=${devkit?.verityParams}`;
  const disk = join(image.folder, devkit?.disk ?? "none");

  it("are opened and mounted before the agent starts", async () => {
    const commandLine = `${image.commandLine} nvrc.log=info ${parameter}`;
    const console = await bootImage(image, { commandLine, extensions: { devkit: disk }, until: STARTED });
    expect(console).toMatch(/NVRC extension devkit mounted, root hash [0-9a-f]{64}[^]*kata-agent started/u);
  });

  it("end the guest with one bit flipped", async () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "extension-"));
    const bytes = readFileSync(disk);
    bytes[(1 << 20) + 1024] = (bytes[(1 << 20) + 1024] ?? 0) ^ 1;
    writeFileSync(join(folder.path, "disk"), bytes);
    const commandLine = `${image.commandLine} ${parameter}`;
    const console = await bootImage(image, {
      commandLine,
      extensions: { devkit: join(folder.path, "disk") },
      until: STARTED,
    });
    expect(console).toContain("Kernel panic - not syncing: dm-verity device corrupted");
  });
});
