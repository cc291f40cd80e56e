import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempDisposableSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { STUB_PACKAGE } from "../../guest-rootfs/debian/packages.ts";
import { readLock } from "../../guest-rootfs/debian/lock.ts";
import { cpio, S_IFDIR, S_IFREG } from "../../guest-rootfs/image/cpio.ts";
import { makeUki } from "../../guest-rootfs/image/uki.ts";
import { ukiRegisters } from "../../guest-rootfs/measure/pcr.ts";
import { DEBIAN, LOCK } from "../../guest-rootfs/paths.ts";
import { fetchSources } from "../../guest-rootfs/sources.ts";
import { builtImage } from "../fixtures/boot-image.ts";

const OVMF = "/usr/share/OVMF";
const image = builtImage("devkit");
const file = (name: string): string => join(image.folder, name);

/** Boots a unified kernel image by OVMF with a TPM, from a disk that has it where firmware looks; answers with the console. */
async function bootUki(uki: Buffer, until: RegExp, more: readonly string[] = []): Promise<string> {
  using folder = mkdtempDisposableSync(join(tmpdir(), "uki-"));
  const at = (name: string): string => join(folder.path, name);
  mkdirSync(at("esp/EFI/BOOT"), { recursive: true });
  mkdirSync(at("tpm"));
  writeFileSync(at("esp/EFI/BOOT/BOOTX64.EFI"), uki);
  copyFileSync(join(OVMF, "OVMF_VARS_4M.fd"), at("vars"));
  const sockets = ["--tpmstate", `dir=${at("tpm")}`, "--ctrl", `type=unixio,path=${at("tpm.sock")}`];
  // Goes into the background when it listens, and ends with its connection.
  execFileSync("/usr/bin/swtpm", [
    "socket",
    "--tpm2",
    ...sockets,
    "--terminate",
    "--daemon",
    "--pid",
    `file=${at("tpm.pid")}`,
  ]);
  const flash = (unit: number, path: string, options = ""): string[] => [
    "-drive",
    `if=pflash,format=raw,unit=${unit},file=${path}${options}`,
  ];
  const args = [
    "-accel tcg,thread=multi -cpu max -machine q35 -smp 2 -m 512 -nodefaults -display none -no-reboot -serial stdio".split(
      " ",
    ),
    flash(0, join(OVMF, "OVMF_CODE_4M.fd"), ",readonly=on"),
    flash(1, at("vars")),
    [
      "-chardev",
      `socket,id=tpm,path=${at("tpm.sock")}`,
      "-tpmdev",
      "emulator,id=tpm,chardev=tpm",
      "-device",
      "tpm-crb,tpmdev=tpm",
    ],
    more,
    ["-drive", `if=none,id=esp,format=raw,file=fat:rw:${at("esp")}`, "-device", "virtio-blk-pci,drive=esp,bootindex=0"],
  ].flat();
  const qemu = spawn("/usr/bin/qemu-system-x86_64", args, {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: 170_000,
    killSignal: "SIGKILL",
  });
  let console = "";
  qemu.stdout.setEncoding("latin1").on("data", (text: string) => {
    console += text;
    if (until.test(console)) qemu.kill("SIGKILL");
  });
  await once(qemu, "close");
  endProcess(at("tpm.pid"));
  return console;
}

/** Ends what has put its id there, unless it has ended by itself. */
function endProcess(pidFile: string): void {
  try {
    process.kill(Number(readFileSync(pidFile, "utf8")));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOENT" && code !== "ESRCH") throw error;
  }
}

/** An initramfs that shows the registers and powers off. */
function registersInitramfs(): Buffer {
  const init = `#!/bin/busybox sh
/bin/busybox mount -t sysfs sysfs /sys
for i in 4 9 11; do echo "PCR $i $(/bin/busybox cat /sys/class/tpm/tpm0/pcr-sha256/$i)"; done
/bin/busybox poweroff -f
`;
  return cpio([
    { path: "bin", mode: S_IFDIR | 0o755 },
    { path: "bin/busybox", mode: S_IFREG | 0o755, bytes: readFileSync("/bin/busybox") },
    { path: "init", mode: S_IFREG | 0o755, bytes: Buffer.from(init) },
    { path: "sys", mode: S_IFDIR | 0o755 },
  ]);
}

describe("the unified kernel image under OVMF", () => {
  it("leaves in the TPM's registers what is computed", async () => {
    const sources = fetchSources(readLock(LOCK), "x64", { folder: DEBIAN, newestIfGone: true, warn: () => {} });
    const parts = {
      stub: readFileSync(sources.file(STUB_PACKAGE, "/usr/lib/systemd/boot/efi/linuxx64.efi.stub").path),
      kernel: readFileSync(file(image.kernel)),
      initramfs: registersInitramfs(),
      commandLine: "console=ttyS0 panic=1",
      osRelease: Buffer.from("ID=test\n"),
    };
    const console = await bootUki(makeUki(parts), /PCR 11 [0-9A-F]{64}/u);
    const found = Object.fromEntries(
      [...console.matchAll(/PCR (\d+) ([0-9A-F]{64})/gu)].map(([, pcr, value]) => [pcr, value?.toLowerCase()]),
    );
    expect(found).toEqual(ukiRegisters(parts));
  }, 180_000);

  it("boots to the agent", async () => {
    const root = [
      "-drive",
      `if=none,id=root,format=raw,readonly=on,file=${file(image.disk)}`,
      "-device",
      "virtio-blk-pci,drive=root",
    ];
    // The root is the guest's first disk and the firmware's second.
    const console = await bootUki(readFileSync(file(image.unifiedKernelImage)), /ttRPC server started/u, root);
    expect(console).toContain("ttRPC server started");
  }, 180_000);
});
