import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { BRIDGE_FOLDER, BRIDGE_PARAMETER } from "@nacre/vsock/bridge-port";

import { NacreError } from "../../error.ts";
import { HUB_CONFIG_PATH, hubConfigOf } from "../hub-config.ts";
import { hubConfigIn, initdataDocument, writeInitdata } from "../initdata.ts";
import { AGENT_PORT, type GuestLayout } from "../layout.ts";
import { commandLine, type StartGuestOptions } from "../options.ts";
import type { Bridge, QemuPlan } from "../plan.ts";
import type { GuestNetwork } from "../state.ts";
import { DEVKIT, defaultImage, type GuestImage, type ImageExtension, readImage } from "./image.ts";
import { hasVsock } from "./vsock-device.ts";

/** As Kata's runtime gives its guests. The guest's own use is below 256 MiB; images that it pulls lie in memory. */
const DEFAULT_MEMORY_BYTES: number = 2048 * 1024 * 1024;
/** Two let the agent's policy compile while the hub starts. */
const DEFAULT_CPUS = 2;
/** Emulation beside other work of the machine is slow. */
const DEFAULT_START_TIMEOUT_MS = 180_000;
/** Firmware comes before the kernel, and a boot that hangs is begun again after two minutes of these. */
const MEASURED_START_TIMEOUT_MS = 360_000;
/** The agent's own limit for the start of a component, six seconds, is for a processor; a later parameter overrides it. */
const LAUNCH_TIMEOUT = "agent.launch_process_timeout=60";
/** Of a boot that is measured. */
const MEASURED_PARAMETERS =
  "kernel parameters of this machine's are measured: registers 9 and 12 are not those of launch-values.json";

/** What a virtual machine is made from; its files are written into the guest's folder. */
export async function qemuPlan(
  layout: GuestLayout,
  network: GuestNetwork,
  options: StartGuestOptions,
): Promise<QemuPlan> {
  const image = readImage(options.image === undefined ? defaultImage(options.flavour) : resolve(options.image));
  const extensions = (options.extensions ?? []).map((name) => ({ name, ...extensionOf(image, name) }));
  const bridge = options.bridge ?? defaultBridge(image);
  const boot = bootOf(image, options.ovmf ?? false, [
    ...bridgeParameters(image, bridge),
    ...extensions.map(({ name, verityParams }) => `kata.extension.${name}.verity_params=${verityParams}`),
    ...(options.kernelParameters ?? []),
  ]);
  if (boot.ovmf && boot.commandLine !== undefined) options.onNote?.(MEASURED_PARAMETERS);
  writeFileSync(layout.commandLine, `${boot.commandLine ?? image.commandLine}\n`, { mode: 0o444 });
  const document = documentFor(image, network, options);
  if (document !== undefined) await writeInitdata(layout.initdata, document);
  return {
    kind: "qemu",
    ...boot,
    tpm: options.tpm ?? true,
    disk: image.disk,
    memoryBytes: options.memoryBytes ?? DEFAULT_MEMORY_BYTES,
    cpus: Math.ceil(options.cpus ?? DEFAULT_CPUS),
    accelerator: options.accelerator,
    bridge,
    files: document === undefined ? [] : hubFile(layout, document),
    initdata: document === undefined ? undefined : layout.initdata,
    extensions: extensions.map(({ name, disk }) => ({ serial: `extension-${name}`, path: disk })),
    scratchBytes: options.scratchBytes,
    startTimeoutMs: options.startTimeoutMs ?? (boot.ovmf ? MEASURED_START_TIMEOUT_MS : DEFAULT_START_TIMEOUT_MS),
    debugUrl: options.debugUrl,
  };
}

/** A devkit guest on a machine without vsock is reached over a serial port. */
function defaultBridge({ flavour }: GuestImage): Bridge | undefined {
  return flavour === DEVKIT && !hasVsock() ? "virtio-serial" : undefined;
}

/** Of a guest that is reached over a serial port. Throws `input` for an image that has nothing at its other end. */
function bridgeParameters({ flavour }: GuestImage, bridge: Bridge | undefined): readonly string[] {
  if (bridge !== "virtio-serial") return [];
  if (flavour !== DEVKIT)
    throw new NacreError("input", `bridge virtio-serial: expected a devkit image, got ${flavour}`);
  return [BRIDGE_PARAMETER, `agent.server_addr=unix://${BRIDGE_FOLDER}/${AGENT_PORT}.sock`];
}

/** What the machine is started with; `parameters` are those beside the image's own. */
function bootOf(
  image: GuestImage,
  ovmf: boolean,
  parameters: readonly string[],
): Pick<QemuPlan, "ovmf" | "kernel" | "initramfs" | "commandLine"> {
  const line = (): string => commandLine([image.commandLine, LAUNCH_TIMEOUT, ...parameters]);
  if (!ovmf) return { ovmf, kernel: image.kernel, initramfs: image.initramfs, commandLine: line() };
  const { unifiedKernelImage, arch } = image;
  if (unifiedKernelImage === undefined || arch !== "x86_64") {
    throw new NacreError(
      "input",
      `ovmf: expected an image for x86_64 with a unified kernel image, got one for ${arch}`,
    );
  }
  // A command line of ours takes the place of the measured one: only where there is something to say.
  const given = parameters.length === 0 ? undefined : line();
  return { ovmf, kernel: unifiedKernelImage, initramfs: undefined, commandLine: given };
}

/** Throws `input` for one that the image does not have. */
function extensionOf(image: GuestImage, name: string): ImageExtension {
  const extension = Object.hasOwn(image.extensions, name) ? image.extensions[name] : undefined;
  if (extension !== undefined) return extension;
  const known = Object.keys(image.extensions).join(", ") || "none";
  throw new NacreError("input", `extension ${JSON.stringify(name)}: expected one of the image (${known})`);
}

/**
 * What the guest is told by initdata. Flavours other than devkit end when nothing binds it, so they get it only where it
 * was asked for; without, what the image says holds.
 */
function documentFor(
  image: GuestImage,
  network: GuestNetwork,
  options: StartGuestOptions,
): string | Uint8Array | undefined {
  if (options.initdata !== undefined) return options.initdata;
  const asked =
    [options.policy, options.hubConfig].some((value) => value !== undefined) || hasRegistries(options, network);
  if (image.flavour !== DEVKIT && !asked) return undefined;
  return initdataDocument({ policy: options.policy, hubConfig: hubConfigOf(network, options) });
}

function hasRegistries({ registries = [], extraRoots = [] }: StartGuestOptions, network: GuestNetwork): boolean {
  const rules = typeof registries === "function" ? registries(network) : registries;
  return rules.length > 0 || extraRoots.length > 0;
}

/** The hub's configuration as a file of this machine, for those who want to know where the guest pulls from. */
function hubFile(layout: GuestLayout, document: string | Uint8Array): QemuPlan["files"] {
  const hubConfig = hubConfigIn(document);
  if (hubConfig === undefined) return [];
  const from = join(layout.files, "cdh.toml");
  writeFileSync(from, hubConfig, { mode: 0o600 });
  return [{ path: HUB_CONFIG_PATH, from, mode: 0o644 }];
}
