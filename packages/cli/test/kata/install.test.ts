import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { parse } from "smol-toml";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { installKata, type KataInstallOptions, uninstallKata } from "../../src/kata/install.ts";

const VERITY = `root_hash=${"ab".repeat(32)},salt=${"cd".repeat(32)},data_blocks=3,data_block_size=4096,hash_block_size=4096`;
const SHIM = "/opt/kata/bin/containerd-shim-kata-v2";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "nacre-kata-"));
  put(SHIM);
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

const put = (path: string, content = ""): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
};
const read = (path: string): string => readFileSync(join(root, path), "utf8");
const all = (): string[] => (readdirSync(root, { recursive: true }) as string[]).sort();
const install = (options: Partial<KataInstallOptions> = {}) =>
  installKata({ handlers: ["remote"], root, containerdVersion: "2.1", replace: false, dryRun: false, ...options });

describe("nacre kata install", () => {
  it("needs only the shim for the remote handler, and goes without a trace", async () => {
    const before = all();
    const { files, next, runtimeClasses } = await install();
    expect(files).toEqual([
      { path: "/etc/kata-containers/nacre/configuration-remote.toml", action: "write" },
      { path: "/etc/containerd/conf.d/nacre-remote.toml", action: "write" },
    ]);
    expect(next).toEqual([
      'add to /etc/containerd/config.toml: imports = ["/etc/containerd/conf.d/*.toml"]',
      "restart containerd",
      "nacre hypervisor serve",
      "kubectl apply the RuntimeClass below",
    ]);
    expect(runtimeClasses).toContain("handler: kata-nacre-remote");
    expect(parse(read("/etc/containerd/conf.d/nacre-remote.toml"))).toMatchObject({ version: 3 });
    expect((await install()).files.map(({ action }) => action)).toEqual(["unchanged", "unchanged"]);
    uninstallKata({ root, force: false, dryRun: false });
    expect(all()).toEqual(before);
  });

  it("adds handlers to those that are there", async () => {
    put("/opt/kata/bin/qemu-system-x86_64");
    put("/opt/kata/share/ovmf/AMDSEV.fd");
    put("/srv/nacre/kata-containers.img");
    put("/srv/nacre/vmlinuz");
    put("/srv/nacre/image.json", JSON.stringify({ flavour: "kata", kernel: "vmlinuz", disk: "kata-containers.img" }));
    put("/srv/nacre/root_hash_kata.txt", `${VERITY}\n`);
    put("/etc/containerd/config.toml", 'version = 2\nimports = ["/etc/containerd/conf.d/*.toml"]\n');
    await install();
    const { files, next, runtimeClasses } = await install({
      handlers: ["qemu-snp"],
      image: "/srv/nacre",
      kernelParams: ["agent.log=debug"],
      memory: 1024,
      vcpus: 2,
    });
    expect(files.map(({ path }) => path)).toEqual([
      "/etc/kata-containers/nacre/configuration-qemu-snp.toml",
      "/etc/containerd/conf.d/nacre-qemu-snp.toml",
    ]);
    expect(parse(read("/etc/kata-containers/nacre/configuration-qemu-snp.toml"))).toMatchObject({
      hypervisor: {
        qemu: {
          path: "/opt/kata/bin/qemu-system-x86_64",
          kernel: "/srv/nacre/vmlinuz",
          firmware: "/opt/kata/share/ovmf/AMDSEV.fd",
          image: "/srv/nacre/kata-containers.img",
          kernel_verity_params: VERITY,
          default_memory: 1024,
          default_vcpus: 2,
        },
      },
    });
    expect(next).toEqual(["restart containerd", "kubectl apply the RuntimeClass below"]);
    expect(runtimeClasses).toContain("memory: 1344Mi");
    expect(read("/etc/containerd/conf.d/nacre-qemu-snp.toml")).toContain('plugins."io.containerd.grpc.v1.cri"');
    expect(uninstallKata({ root, force: false, dryRun: false })).toHaveLength(4);
  });

  it("writes no drop-in for containerd 1, and says what to put where", async () => {
    put("/etc/containerd/config.toml", "version = 2\n");
    const { files, containerdTables, next } = await install({ containerdVersion: "1.7" });
    expect(files.map(({ path }) => path)).toEqual(["/etc/kata-containers/nacre/configuration-remote.toml"]);
    expect(containerdTables).toContain(
      '[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata-nacre-remote]\nruntime_type = ',
    );
    expect(next[0]).toContain("put the tables below into /etc/containerd/config.toml");
  });

  it("says what it misses and where it looked, and writes nothing", async () => {
    const before = all();
    const bare = { root, replace: false, dryRun: false, handlers: ["remote"] } as const;
    await expect(installKata(bare)).rejects.toThrow("give --containerd-version, such as 2.1");
    await expect(install({ handlers: ["qemu"] })).rejects.toThrow("expected --image FOLDER");
    await expect(install({ shim: "/usr/bin/none" })).rejects.toThrow(
      `the Kata shim: expected a file /usr/bin/none below ${root}; see --shim`,
    );
    const qemu = { handlers: ["qemu-tdx"], image: "/srv/nacre" } as const;
    const image = (fields: object): void => put("/srv/nacre/image.json", JSON.stringify(fields));
    const names = { kernel: "vmlinuz", disk: "kata-containers.img" };
    await expect(install(qemu)).rejects.toThrow("/srv/nacre/image.json: expected what make rootfs writes");
    image({ ...names, kernel: "../vmlinuz" });
    await expect(install(qemu)).rejects.toThrow('kernel: expected the name of a file, got "../vmlinuz"');
    image({ ...names, initramfs: "stage1.cpio" });
    await expect(install(qemu)).rejects.toThrow("the firmware of qemu-tdx: expected a file /opt/kata/share/ovmf/");
    put("/usr/share/ovmf/OVMF.inteltdx.fd");
    await expect(install(qemu)).rejects.toThrow("QEMU: expected a file /opt/kata/bin/qemu-system-x86_64 or");
    put("/usr/bin/qemu-system-x86_64");
    await expect(install(qemu)).rejects.toThrow("expected an image whose kernel opens the root by itself");
    await expect(install({ ...qemu, kernel: "/boot/k" })).rejects.toThrow(
      "the guest's kernel: expected a file /boot/k",
    );
    image(names);
    await expect(install(qemu)).rejects.toThrow("the guest's kernel: expected a file /srv/nacre/vmlinuz");
    put("/srv/nacre/vmlinuz");
    await expect(install(qemu)).rejects.toThrow("the image's disk: expected a file /srv/nacre/kata-containers.img");
    put("/srv/nacre/kata-containers.img");
    await expect(install(qemu)).rejects.toThrow("/srv/nacre: expected one root_hash_<flavour>.txt, got 0");
    put("/srv/nacre/root_hash_kata.txt", "root_hash=x");
    await expect(install(qemu)).rejects.toThrow("root hash file /srv/nacre/root_hash_kata.txt");
    expect(all().filter((path) => path.includes("etc"))).toEqual([]);
    expect(before.every((path) => all().includes(path))).toBe(true);
  });

  it("only tells in a dry run", async () => {
    const before = all();
    expect((await install({ dryRun: true })).files.map(({ action }) => action)).toEqual(["write", "write"]);
    expect(all()).toEqual(before);
  });
});
