import { existsSync, writeFileSync } from "node:fs";

import { bindMount, type MountCalls } from "@nacre/kata-sys-util";

import { NvrcError } from "../error.ts";
import type { RunHelper } from "../helper.ts";

/** In Debian's folders of libraries by architecture. */
const TRIPLET = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
const LDCONFIG = "/sbin/ldconfig";
/** What is made here, and what it is shown at: the root is read-only, so both targets are part of the image. */
const LD_CONFIG = "/run/ld.so.conf";
const LD_CACHE = { made: "/run/ld.so.cache", target: "/etc/ld.so.cache" } as const;
const FIRMWARE = "/lib/firmware/nvidia";

/** Makes firmware and libraries of the GPU extension known to the kernel and to the loader (section 1.7). */
export async function useGpuExtension(sys: MountCalls, run: RunHelper, extension: string | undefined): Promise<void> {
  if (extension === undefined) return;
  const firmware = `${extension}${FIRMWARE}`;
  if (existsSync(firmware)) await bind(sys, firmware, FIRMWARE);
  writeFileSync(LD_CONFIG, loaderConfig(extension), { mode: 0o644 });
  await run(ldconfigArgv());
  await bind(sys, LD_CACHE.made, LD_CACHE.target);
}

/** It takes the place of the image's own, so that one is named first. */
export function loaderConfig(extension: string): string {
  return `include /etc/ld.so.conf.d/*.conf\n${extension}/usr/lib/${TRIPLET}\n`;
}

export function ldconfigArgv(): readonly string[] {
  return [LDCONFIG, "-X", "-f", LD_CONFIG, "-C", LD_CACHE.made];
}

async function bind(sys: MountCalls, source: string, target: string): Promise<void> {
  try {
    await bindMount(sys, source, target, ["ro"]);
  } catch (cause) {
    throw new NvrcError("gpu", `bind ${source} over ${target}`, { cause });
  }
}
