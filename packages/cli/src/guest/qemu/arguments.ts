import type { Accelerator } from "../plan.ts";

/** How the guest's vsock is provided. */
export type VsockDevice =
  /** By the machine's kernel. */
  | { readonly kind: "vhost"; readonly cid: number }
  /** By a process that this descriptor leads to. */
  | { readonly kind: "vhost-user"; readonly fd: number }
  /** None: a serial port in its place, whose bytes go over this descriptor. */
  | { readonly kind: "serial"; readonly fd: number };

/** How QEMU emulates several processors: each in a thread of its own, or one after the other in one. */
export type EmulatorThreads = "multi" | "single";

/** Firmware that measures a boot. */
export interface Firmware {
  readonly code: string;
  /** Written by the firmware; this machine's own. */
  readonly variables: string;
}

/** A virtual machine, with everything that is chosen for it. Paths are absolute. */
export interface Machine {
  readonly name: string;
  readonly accelerator: Accelerator;
  /** Of no concern where nothing is emulated. */
  readonly threads: EmulatorThreads;
  readonly cpus: number;
  readonly memoryBytes: number;
  /** Of a machine with firmware: a unified kernel image. */
  readonly kernel: string;
  readonly initramfs: string | undefined;
  /** Undefined: the one in the unified kernel image. */
  readonly commandLine: string | undefined;
  /** Undefined: QEMU boots the kernel itself. */
  readonly firmware: Firmware | undefined;
  /** Descriptor of a connected socket to the emulated TPM's control channel; undefined: the machine has no TPM. */
  readonly tpmFd: number | undefined;
  readonly disk: string;
  /** Further read-only disks, by their serial numbers; the root is the first disk in any case. */
  readonly readOnlyDisks: readonly { readonly serial: string; readonly path: string }[];
  /** Descriptor of a file that is a further disk, the last, with the serial number `scratch`. */
  readonly scratchFd: number | undefined;
  /** Where the serial console's output is appended to. */
  readonly console: string;
  /** Descriptor of a connected socket for QMP. */
  readonly qmpFd: number;
  readonly vsock: VsockDevice;
  readonly network: { readonly tap: string; readonly mac: string } | undefined;
}

/**
 * What an emulated machine's kernel is told beside: not to take time from the processor's counter. It is the host's own,
 * at a rate that the kernel has to guess in its first milliseconds; on a busy host the guess may be ten times too low,
 * and then every deadline in the guest is ten times too short. The machine's timer says how fast it is.
 */
export const EMULATED_CLOCK = "tsc=unstable";

/** The controllers of a PC that this guest has no use for; each costs time to find. */
const WITHOUT: readonly string[] = ["smbus=off", "sata=off", "usb=off", "hpet=off", "vmport=off"];
const MEBIBYTE: number = 1024 * 1024;

type Option = readonly [name: string, value?: string];

/** QEMU's arguments for a machine. Pure; nothing but what is listed here is in the machine. */
export function qemuArguments(machine: Machine): readonly string[] {
  const { accelerator } = machine;
  const mebibytes = Math.ceil(machine.memoryBytes / MEBIBYTE);
  const options: readonly Option[] = [
    ["-name", escape(machine.name)],
    ["-nodefaults"],
    ["-no-user-config"],
    ["-display", "none"],
    // A panic or a reboot is the end; nothing starts again by itself.
    ["-no-reboot"],
    ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    ["-accel", accelerator === "kvm" ? "kvm" : `tcg,thread=${machine.threads}`],
    ["-cpu", accelerator === "kvm" ? "host" : "max"],
    ["-smp", String(machine.cpus)],
    ["-m", `${mebibytes}M`],
    // Another process reads and writes the queues of its device in the guest's memory.
    ["-object", json({ "qom-type": "memory-backend-memfd", id: "memory", size: mebibytes * MEBIBYTE, share: true })],
    ["-machine", ["q35", "memory-backend=memory", ...WITHOUT, ...(machine.firmware ? FLASH : [])].join(",")],
    ...firmware(machine.firmware),
    ...tpm(machine.tpmFd),
    ["-kernel", machine.kernel],
    ...(machine.initramfs === undefined ? [] : [["-initrd", machine.initramfs] as const]),
    ...append(machine),
    ["-chardev", `file,id=console,path=${escape(machine.console)},append=on`],
    ["-serial", "chardev:console"],
    ["-chardev", `socket,id=qmp,fd=${machine.qmpFd}`],
    ["-mon", "chardev=qmp,mode=control"],
    ...disk("root", machine.disk),
    ...machine.readOnlyDisks.flatMap(({ serial, path }) => disk(serial, path)),
    ...scratch(machine.scratchFd),
    ...vsock(machine.vsock),
    ...network(machine.network),
  ];
  return options.flatMap((option) => option.filter((part) => part !== undefined));
}

/** What firmware measures is what was asked for, whatever runs its instructions. */
function append({ commandLine, firmware: measured, accelerator }: Machine): readonly Option[] {
  if (commandLine === undefined) return [];
  const isTold = accelerator === "tcg" && measured === undefined;
  return [["-append", isTold ? `${commandLine} ${EMULATED_CLOCK}` : commandLine]];
}

/** The firmware's code and its variables, in the two flash chips. */
const FLASH: readonly string[] = ["pflash0=firmware", "pflash1=variables"];

function firmware(machine: Firmware | undefined): readonly Option[] {
  if (machine === undefined) return [];
  const { code, variables } = machine;
  return [
    ["-blockdev", rawFile("firmware", code, true)],
    ["-blockdev", rawFile("variables", variables, false)],
  ];
}

function tpm(fd: number | undefined): readonly Option[] {
  if (fd === undefined) return [];
  return [
    ["-chardev", `socket,id=tpm,fd=${fd}`],
    ["-tpmdev", "emulator,id=tpm,chardev=tpm"],
    ["-device", json({ driver: "tpm-crb", tpmdev: "tpm" })],
  ];
}

function rawFile(name: string, filename: string, readOnly: boolean): string {
  const file = { driver: "file", filename, "read-only": readOnly };
  return json({ driver: "raw", "node-name": name, "read-only": readOnly, file });
}

function disk(serial: string, path: string): readonly Option[] {
  return [
    ["-blockdev", rawFile(serial, path, true)],
    ["-device", json({ driver: "virtio-blk-pci-non-transitional", drive: serial, serial })],
  ];
}

/** QEMU's set of descriptors that the scratch disk is. */
const SCRATCH_SET = 1;

function scratch(fd: number | undefined): readonly Option[] {
  if (fd === undefined) return [];
  const serial = "scratch";
  const file = { driver: "file", filename: `/dev/fdset/${SCRATCH_SET}`, discard: "unmap" };
  // Nothing of it is read after the guest's end, so nothing has to reach the machine's disk.
  const cache = { "no-flush": true };
  // A full file system is an error in the guest; by itself QEMU would stop the machine there.
  const device = { driver: "virtio-blk-pci-non-transitional", drive: serial, serial, werror: "report" };
  return [
    ["-add-fd", `fd=${fd},set=${SCRATCH_SET}`],
    ["-blockdev", json({ driver: "raw", "node-name": serial, discard: "unmap", cache, file })],
    ["-device", json(device)],
  ];
}

function vsock(device: VsockDevice): readonly Option[] {
  if (device.kind === "vhost") {
    return [["-device", json({ driver: "vhost-vsock-pci-non-transitional", "guest-cid": device.cid })]];
  }
  if (device.kind === "serial") {
    return [
      ["-chardev", `socket,id=bridge,fd=${device.fd}`],
      ["-device", json({ driver: "virtio-serial-pci-non-transitional" })],
      ["-device", json({ driver: "virtserialport", chardev: "bridge", nr: 1, name: "nacre.bridge" })],
    ];
  }
  return [
    ["-chardev", `socket,id=vsock,fd=${device.fd}`],
    ["-device", json({ driver: "vhost-user-vsock-pci-non-transitional", chardev: "vsock" })],
  ];
}

function network(link: Machine["network"]): readonly Option[] {
  if (link === undefined) return [];
  return [
    ["-netdev", json({ type: "tap", id: "network", ifname: link.tap, script: "no", downscript: "no" })],
    // Without the card's boot program, which lies in another Debian package and has nothing to do here.
    ["-device", json({ driver: "virtio-net-pci-non-transitional", netdev: "network", mac: link.mac, romfile: "" })],
  ];
}

function json(value: object): string {
  return JSON.stringify(value);
}

/** A comma parts options where QEMU takes no JSON. */
function escape(text: string): string {
  return text.replaceAll(",", ",,");
}
