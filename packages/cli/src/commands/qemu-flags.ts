import type { Flag } from "../command.ts";
import { NacreError } from "../error.ts";
import type { StartGuestOptions } from "../guest/options.ts";
import { type Accelerator, type Bridge, BRIDGES } from "../guest/plan.ts";
import { mebibytes, wholeNumber } from "./guest-flags.ts";

interface QemuFlags {
  readonly qemu: Switch;
  readonly ovmf: Switch;
  readonly flavour: One;
  readonly image: One;
  readonly cpus: One;
  readonly accel: One;
  readonly bridge: One;
  readonly scratch: One;
  readonly extension: Flag & { readonly type: "string"; readonly multiple: true };
}
type Switch = Flag & { readonly type: "boolean" };
type One = Flag & { readonly type: "string"; readonly multiple?: false };

/** Flags of commands that start guests, about virtual machines. */
export const QEMU_FLAGS: QemuFlags = {
  qemu: { type: "boolean", help: "a virtual machine instead of namespaces" },
  ovmf: { type: "boolean", help: "with --qemu: firmware boots the guest and measures that into a TPM" },
  flavour: { type: "string", value: "NAME", help: "with --qemu: devkit (default), kata or strict" },
  image: { type: "string", value: "DIR", help: "with --qemu: the image's folder; default: what make rootfs built" },
  cpus: { type: "string", value: "N", help: "processors; default: as many as the machine has, 2 with --qemu" },
  accel: { type: "string", value: "NAME", help: "with --qemu: kvm or tcg; default: kvm where it works" },
  bridge: {
    type: "string",
    value: "NAME",
    help: "with --qemu: vhost-vsock, vhost-user-vsock, virtio-serial (devkit); default: what is there",
  },
  scratch: {
    type: "string",
    value: "MIB",
    help: "with --qemu: an empty disk, serial number scratch, gone with the guest",
  },
  extension: { type: "string", multiple: true, value: "NAME", help: "with --qemu: an extension of the image" },
};

/** What was given of {@link QEMU_FLAGS}. */
export interface GivenQemuFlags {
  readonly qemu: boolean;
  readonly ovmf: boolean;
  readonly flavour: string | undefined;
  readonly image: string | undefined;
  readonly cpus: string | undefined;
  readonly accel: string | undefined;
  readonly bridge: string | undefined;
  readonly scratch: string | undefined;
  readonly extension: readonly string[];
}

/** Throws NacreError `usage`; what one kind of guest does not take is refused where the guest is started. */
export function qemuOptions(flags: GivenQemuFlags): StartGuestOptions {
  const { flavour, image, cpus, accel, bridge, scratch } = flags;
  return {
    ...(flags.qemu ? { kind: "qemu" } : {}),
    ...(flags.ovmf ? { ovmf: true } : {}),
    ...(flavour === undefined ? {} : { flavour }),
    ...(flags.extension.length === 0 ? {} : { extensions: flags.extension }),
    ...(image === undefined ? {} : { image }),
    ...(cpus === undefined ? {} : { cpus: wholeNumber("--cpus", cpus) }),
    ...(scratch === undefined ? {} : { scratchBytes: mebibytes("--scratch", scratch) }),
    ...(accel === undefined ? {} : { accelerator: accelerator(accel) }),
    ...(bridge === undefined ? {} : { bridge: bridgeOf(bridge) }),
  };
}

function bridgeOf(text: string): Bridge {
  const bridge = BRIDGES.find((known) => known === text);
  if (bridge === undefined) throw new NacreError("usage", `--bridge: expected ${BRIDGES.join(" or ")}, got ${text}`);
  return bridge;
}

function accelerator(text: string): Accelerator {
  if (text === "kvm" || text === "tcg") return text;
  throw new NacreError("usage", `--accel: expected kvm or tcg, got ${text}`);
}
