import { NvrcError } from "../error.ts";
import type { Mode } from "./mode.ts";
import type { GpuPorts } from "./ports.ts";

/**
 * Parameters of the module `nvidia`. A single GPU has no fabric, and must not wait for one. Eight GPUs with their
 * switches are in a confidential guest in Protected PCIe mode, which the driver has to be told (PPCIE; see the README).
 */
export function nvidiaParameters(mode: Mode): readonly string[] {
  if (mode.name === "gpu" && mode.gpus === 1) return ["NVreg_NvLinkDisable=1"];
  if (mode.name === "nvl4") return ["NVreg_RegistryDwords=RmEnableProtectedPcie=0x1"];
  return [];
}

/** Loads a module of the GPU's driver, which is where the GPU's user space is. */
export function loadNvidia(ports: GpuPorts, name: string, parameters: readonly string[] = []): Promise<void> {
  return load(ports, name, parameters, ports.extension);
}

/** Loads a module that comes with the kernel. */
export function loadInTree(ports: GpuPorts, name: string): Promise<void> {
  return load(ports, name, [], undefined);
}

async function load(
  { effects, log }: GpuPorts,
  name: string,
  parameters: readonly string[],
  root: string | undefined,
): Promise<void> {
  try {
    await effects.loadModule(name, parameters, root);
  } catch (cause) {
    throw new NvrcError("gpu", `modprobe ${[name, ...parameters].join(" ")}`, { cause });
  }
  log.debug(`loaded ${name}`);
}
