import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { HUB_CONFIG_PATH, hubConfigOf } from "../hub-config.ts";
import type { GuestLayout } from "../layout.ts";
import { commandLine, type StartGuestOptions } from "../options.ts";
import type { QemuPlan } from "../plan.ts";
import type { GuestNetwork } from "../state.ts";
import { defaultImage, readImage } from "./image.ts";

/** As Kata's runtime gives its guests. The guest's own use is below 256 MiB; images that it pulls lie in memory. */
const DEFAULT_MEMORY_BYTES: number = 2048 * 1024 * 1024;
/** Two let the agent's policy compile while the hub starts. */
const DEFAULT_CPUS = 2;
/** Emulation beside other work of the machine is slow. */
const DEFAULT_START_TIMEOUT_MS = 180_000;

/** What a virtual machine is made from; its files are written into the guest's folder. */
export function qemuPlan(layout: GuestLayout, network: GuestNetwork, options: StartGuestOptions): QemuPlan {
  const image = readImage(options.image === undefined ? defaultImage(options.flavour) : resolve(options.image));
  const hubConfig = join(layout.files, "cdh.toml");
  writeFileSync(hubConfig, hubConfigOf(network, options), { mode: 0o600 });
  const line = commandLine([image.commandLine, ...(options.kernelParameters ?? [])]);
  writeFileSync(layout.commandLine, `${line}\n`, { mode: 0o444 });
  return {
    kind: "qemu",
    kernel: image.kernel,
    initramfs: image.initramfs,
    disk: image.disk,
    commandLine: line,
    memoryBytes: options.memoryBytes ?? DEFAULT_MEMORY_BYTES,
    cpus: Math.ceil(options.cpus ?? DEFAULT_CPUS),
    accelerator: options.accelerator,
    files: [{ path: HUB_CONFIG_PATH, from: hubConfig, mode: 0o644 }],
    startTimeoutMs: options.startTimeoutMs ?? DEFAULT_START_TIMEOUT_MS,
  };
}
