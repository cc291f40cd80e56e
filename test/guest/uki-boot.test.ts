import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, mkdtempDisposableSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { STUB_PACKAGE } from "../../guest-rootfs/debian/packages.ts";
import { readLock } from "../../guest-rootfs/debian/lock.ts";
import { cpio, S_IFDIR, S_IFREG } from "../../guest-rootfs/image/cpio.ts";
import { makeUki, type UkiParts } from "../../guest-rootfs/image/uki.ts";
import type { LaunchValues } from "../../guest-rootfs/measure/launch-values.ts";
import { ukiRegisters } from "../../guest-rootfs/measure/pcr.ts";
import { DEBIAN, LOCK } from "../../guest-rootfs/paths.ts";
import { fetchSources } from "../../guest-rootfs/sources.ts";
import { builtImage } from "../fixtures/boot-image.ts";
import { Swtpm } from "../fixtures/swtpm.ts";

const OVMF = "/usr/share/OVMF";
const REGISTERS = [4, 9, 11, 12];
const image = builtImage("devkit");
const file = (name: string): string => join(image.folder, name);

interface UkiBoot {
  readonly uki: Buffer;
  /** Whether it lies on a disk where firmware looks, or QEMU hands it over. */
  readonly loader: "disk" | "qemu";
  /** That QEMU gives with it. */
  readonly commandLine?: string;
  readonly disk?: string;
  /** Ends the machine as soon as the console shows it. */
  readonly until: RegExp;
}

interface BootedUki {
  readonly console: string;
  /** As the TPM itself has them when the machine has gone. */
  readonly registers: Readonly<Record<string, string>>;
}

const option = (name: string, value: string): readonly string[] => [name, value];
const drive = (id: string, more: string): string => `if=none,id=${id},format=raw,${more}`;
const flash = (unit: number, path: string, more = ""): readonly string[] =>
  option("-drive", `if=pflash,format=raw,unit=${unit},file=${path}${more}`);

/** Boots a unified kernel image by OVMF with a TPM. */
async function bootUki({ uki, loader, commandLine, disk, until }: UkiBoot): Promise<BootedUki> {
  using folder = mkdtempDisposableSync(join(tmpdir(), "uki-"));
  const at = (name: string): string => join(folder.path, name);
  mkdirSync(at("esp/EFI/BOOT"), { recursive: true });
  writeFileSync(at("esp/EFI/BOOT/BOOTX64.EFI"), uki);
  copyFileSync(join(OVMF, "OVMF_VARS_4M.fd"), at("vars"));
  await using tpm = new Swtpm(at("tpm"));
  const boot = {
    disk: [
      option("-drive", drive("esp", `file=fat:rw:${at("esp")}`)),
      option("-device", "virtio-blk-pci,drive=esp,bootindex=0"),
    ],
    qemu: [
      option("-kernel", at("esp/EFI/BOOT/BOOTX64.EFI")),
      commandLine === undefined ? [] : option("-append", commandLine),
    ],
  }[loader];
  const args = [
    "-accel tcg,thread=multi -cpu max -machine q35 -smp 2 -m 512 -nodefaults -display none -no-reboot -serial stdio".split(
      " ",
    ),
    flash(0, join(OVMF, "OVMF_CODE_4M.fd"), ",readonly=on"),
    flash(1, at("vars")),
    option("-chardev", `socket,id=tpm,path=${tpm.control}`),
    option("-tpmdev", "emulator,id=tpm,chardev=tpm"),
    option("-device", "tpm-crb,tpmdev=tpm"),
    // The root is the guest's first disk, and where there is another the firmware's second.
    ...(disk === undefined
      ? []
      : [option("-drive", drive("root", `readonly=on,file=${disk}`)), option("-device", "virtio-blk-pci,drive=root")]),
    ...boot,
  ].flat();
  const qemu = spawn("/usr/bin/qemu-system-x86_64", args, {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: 170_000,
    killSignal: "SIGKILL",
  });
  let console = "";
  qemu.stdout.setEncoding("latin1").on("data", (text: string) => {
    console += text;
    // Without a word to its TPM, which goes on.
    if (until.test(console)) qemu.kill("SIGKILL");
  });
  await once(qemu, "close");
  return { console, registers: await tpm.registers(REGISTERS) };
}

/** An initramfs that shows the registers and waits for its end. */
function registersInitramfs(): Buffer {
  const init = `#!/bin/busybox sh
/bin/busybox mount -t sysfs sysfs /sys
for i in ${REGISTERS.join(" ")}; do echo "PCR $i $(/bin/busybox cat /sys/class/tpm/tpm0/pcr-sha256/$i)"; done
exec /bin/busybox sleep 1000
`;
  return cpio([
    { path: "bin", mode: S_IFDIR | 0o755 },
    { path: "bin/busybox", mode: S_IFREG | 0o755, bytes: readFileSync("/bin/busybox") },
    { path: "init", mode: S_IFREG | 0o755, bytes: Buffer.from(init) },
    { path: "sys", mode: S_IFDIR | 0o755 },
  ]);
}

function showsRegisters(): UkiParts {
  const sources = fetchSources(readLock(LOCK), "x64", { folder: DEBIAN, newestIfGone: true, warn: () => {} });
  return {
    stub: readFileSync(sources.file(STUB_PACKAGE, "/usr/lib/systemd/boot/efi/linuxx64.efi.stub").path),
    kernel: readFileSync(file(image.kernel)),
    initramfs: registersInitramfs(),
    commandLine: "console=ttyS0 panic=1",
    osRelease: Buffer.from("ID=test\n"),
  };
}

function shownRegisters(console: string): object {
  return Object.fromEntries(
    [...console.matchAll(/PCR (\d+) ([0-9A-F]{64})/gu)].map(([, pcr, value]) => [pcr, value?.toLowerCase()]),
  );
}

const BOOTS: readonly (Pick<UkiBoot, "loader" | "commandLine"> & { readonly name: string })[] = [
  { name: "from a disk", loader: "disk" },
  // Systemd's stub prefers it to the image's own, and register 11 does not tell.
  { name: "from QEMU with a command line", loader: "qemu", commandLine: 'console=ttyS0 panic=1 quoted="a b"' },
];

describe("the unified kernel image under OVMF", { timeout: 180_000 }, () => {
  it.for(BOOTS)("leaves in the TPM's registers what is computed, $name", async ({ loader, commandLine }) => {
    const parts = showsRegisters();
    const given = commandLine === undefined ? {} : { commandLine };
    const { console, registers } = await bootUki({
      uki: makeUki(parts),
      loader,
      ...given,
      until: /PCR 12 [0-9A-F]{64}/u,
    });
    const expected = ukiRegisters(parts, loader, commandLine);
    expect(registers).toEqual(expected);
    expect(shownRegisters(console)).toEqual(expected);
    const image = ukiRegisters(parts, loader);
    expect(commandLine === undefined || (expected["9"] !== image["9"] && expected["12"] !== image["12"])).toBe(true);
    expect(expected["11"]).toBe(image["11"]);
  });

  it("boots to the agent, with the registers that the build has written down", async () => {
    const { console, registers } = await bootUki({
      uki: readFileSync(file(image.unifiedKernelImage)),
      loader: "disk",
      disk: file(image.disk),
      until: /ttRPC server started/u,
    });
    expect(console).toContain("ttRPC server started");
    const launch = JSON.parse(readFileSync(file("launch-values.json"), "utf8")) as LaunchValues;
    expect(registers).toEqual(launch.unifiedKernelImage.pcrs.disk);
  });

  it("has other registers with one byte changed", () => {
    const parts = showsRegisters();
    const registers = ukiRegisters(parts, "disk");
    const changed = (change: Partial<UkiParts>): readonly string[] => {
      const other = ukiRegisters({ ...parts, ...change }, "disk");
      return Object.entries(registers).flatMap(([n, value]) => (other[n as "4"] === value ? [] : [n]));
    };
    expect(changed({ kernel: flipped(parts.kernel) })).toEqual(["4", "11"]);
    expect(changed({ initramfs: flipped(registersInitramfs()) })).toEqual(["4", "9", "11"]);
    expect(changed({ commandLine: parts.commandLine.replace("=1", "=0") })).toEqual(["4", "9", "11"]);
    expect(changed({ osRelease: flipped(parts.osRelease) })).toEqual(["4", "11"]);
  });
});

function flipped(bytes: Buffer): Buffer {
  const other = Buffer.from(bytes);
  const at = Math.floor(other.length / 2);
  other.writeUInt8(other.readUInt8(at) ^ 1, at);
  return other;
}
