import { describe, expect, it } from "vitest";

import { type Machine, qemuArguments } from "../../../src/guest/qemu/arguments.ts";

const MACHINE: Machine = {
  name: "nacre-0123abcd",
  accelerator: "tcg",
  threads: "multi",
  cpus: 2,
  memoryBytes: 512 * 1024 * 1024,
  kernel: "/image/vmlinuz",
  initramfs: "/image/stage1.cpio",
  commandLine: 'console=ttyS0 dm-mod.create="a b, c"',
  firmware: undefined,
  tpmFd: 5,
  disk: "/image/kata-containers.img",
  readOnlyDisks: [{ serial: "initdata", path: "/run/initdata,1.img" }],
  scratchFd: undefined,
  console: "/run/nacre/guest,log",
  qmpFd: 3,
  vsock: { kind: "vhost-user", fd: 4 },
  network: { tap: "nacre-0123abcd", mac: "02:6e:01:23:ab:cd" },
};

/** The values that an option was given, in order. */
const values = (argv: readonly string[], name: string): string[] =>
  argv.flatMap((argument, i) => (argument === name ? [argv[i + 1] ?? ""] : []));

describe("QEMU's arguments", () => {
  it("are these, for an emulated machine with everything", () => {
    expect(qemuArguments(MACHINE)).toEqual(
      [
        ["-name", "nacre-0123abcd", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
        ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
        ["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "512M"],
        ["-object", '{"qom-type":"memory-backend-memfd","id":"memory","size":536870912,"share":true}'],
        ["-machine", "q35,memory-backend=memory,smbus=off,sata=off,usb=off,hpet=off,vmport=off"],
        ["-chardev", "socket,id=tpm,fd=5", "-tpmdev", "emulator,id=tpm,chardev=tpm"],
        ["-device", '{"driver":"tpm-crb","tpmdev":"tpm"}'],
        ["-kernel", "/image/vmlinuz", "-initrd", "/image/stage1.cpio"],
        ["-append", 'console=ttyS0 dm-mod.create="a b, c" tsc=unstable'],
        ["-chardev", "file,id=console,path=/run/nacre/guest,,log,append=on", "-serial", "chardev:console"],
        ["-chardev", "socket,id=qmp,fd=3", "-mon", "chardev=qmp,mode=control"],
        [
          "-blockdev",
          '{"driver":"raw","node-name":"root","read-only":true,"file":{"driver":"file","filename":"/image/kata-containers.img","read-only":true}}',
        ],
        ["-device", '{"driver":"virtio-blk-pci-non-transitional","drive":"root","serial":"root"}'],
        [
          "-blockdev",
          '{"driver":"raw","node-name":"initdata","read-only":true,"file":{"driver":"file","filename":"/run/initdata,1.img","read-only":true}}',
        ],
        ["-device", '{"driver":"virtio-blk-pci-non-transitional","drive":"initdata","serial":"initdata"}'],
        ["-chardev", "socket,id=vsock,fd=4"],
        ["-device", '{"driver":"vhost-user-vsock-pci-non-transitional","chardev":"vsock"}'],
        ["-netdev", '{"type":"tap","id":"network","ifname":"nacre-0123abcd","script":"no","downscript":"no"}'],
        [
          "-device",
          '{"driver":"virtio-net-pci-non-transitional","netdev":"network","mac":"02:6e:01:23:ab:cd","romfile":""}',
        ],
      ].flat(),
    );
  });

  it("have firmware boot a unified kernel image, with a TPM to measure into", () => {
    const firmware = { code: "/usr/share/OVMF/OVMF_CODE_4M.fd", variables: "/run/nacre/variables.fd" };
    const machine = { ...MACHINE, firmware, kernel: "/image/nacre.efi", initramfs: undefined, commandLine: undefined };
    const argv = qemuArguments(machine);
    expect(values(argv, "-machine")[0]).toMatch(/^q35,.*,pflash0=firmware,pflash1=variables$/u);
    expect(values(argv, "-blockdev").slice(0, 2)).toEqual([
      '{"driver":"raw","node-name":"firmware","read-only":true,"file":{"driver":"file","filename":"/usr/share/OVMF/OVMF_CODE_4M.fd","read-only":true}}',
      '{"driver":"raw","node-name":"variables","read-only":false,"file":{"driver":"file","filename":"/run/nacre/variables.fd","read-only":false}}',
    ]);
    expect(values(argv, "-chardev")).toContain("socket,id=tpm,fd=5");
    expect(values(argv, "-tpmdev")).toEqual(["emulator,id=tpm,chardev=tpm"]);
    expect(values(argv, "-device")[0]).toBe('{"driver":"tpm-crb","tpmdev":"tpm"}');
    // The image's own command line is the one that was measured before.
    expect([values(argv, "-kernel"), values(argv, "-initrd"), values(argv, "-append")]).toEqual([
      ["/image/nacre.efi"],
      [],
      [],
    ]);
    // One that takes its place is measured as it was asked for.
    expect(values(qemuArguments({ ...machine, commandLine: "a=b" }), "-append")).toEqual(["a=b"]);
  });

  it("have a scratch disk behind all the others", () => {
    const argv = qemuArguments({ ...MACHINE, scratchFd: 6 });
    expect(values(argv, "-add-fd")).toEqual(["fd=6,set=1"]);
    expect(values(argv, "-blockdev").at(-1)).toBe(
      '{"driver":"raw","node-name":"scratch","discard":"unmap","cache":{"no-flush":true},"file":{"driver":"file","filename":"/dev/fdset/1","discard":"unmap"}}',
    );
    expect(values(argv, "-device").filter((device) => device.includes("virtio-blk"))).toEqual([
      '{"driver":"virtio-blk-pci-non-transitional","drive":"root","serial":"root"}',
      '{"driver":"virtio-blk-pci-non-transitional","drive":"initdata","serial":"initdata"}',
      '{"driver":"virtio-blk-pci-non-transitional","drive":"scratch","serial":"scratch","werror":"report"}',
    ]);
  });

  it("take one thread for all processors", () => {
    expect(values(qemuArguments({ ...MACHINE, threads: "single" }), "-accel")).toEqual(["tcg,thread=single"]);
  });

  it("use the processor itself under KVM", () => {
    const argv = qemuArguments({ ...MACHINE, accelerator: "kvm" });
    expect([values(argv, "-accel"), values(argv, "-cpu")]).toEqual([["kvm"], ["host"]]);
    expect(values(argv, "-append")).toEqual([MACHINE.commandLine]);
  });

  it("name the kernel's vsock by its context id", () => {
    const argv = qemuArguments({ ...MACHINE, vsock: { kind: "vhost", cid: 77 }, network: undefined });
    expect(values(argv, "-device").at(-1)).toBe('{"driver":"vhost-vsock-pci-non-transitional","guest-cid":77}');
    expect(values(argv, "-netdev")).toEqual([]);
  });

  it("have a serial port in place of vsock", () => {
    const argv = qemuArguments({ ...MACHINE, vsock: { kind: "serial", fd: 4 }, network: undefined });
    expect(values(argv, "-chardev").at(-1)).toBe("socket,id=bridge,fd=4");
    expect(values(argv, "-device").slice(-2)).toEqual([
      '{"driver":"virtio-serial-pci-non-transitional"}',
      '{"driver":"virtserialport","chardev":"bridge","nr":1,"name":"nacre.bridge"}',
    ]);
  });

  it("round memory up to whole MiB, for machine and backend alike", () => {
    const argv = qemuArguments({ ...MACHINE, memoryBytes: 256 * 1024 * 1024 + 1 });
    expect(values(argv, "-m")).toEqual(["257M"]);
    expect(values(argv, "-object")[0]).toContain(`"size":${257 * 1024 * 1024}`);
  });
});
