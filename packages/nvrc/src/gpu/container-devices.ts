import { type GpuPorts, gpuPath } from "./ports.ts";

export const CDI_FILE = "/var/run/cdi/nvidia.yaml";

/**
 * With an extension its root is stripped from the paths that containers get, while the device nodes stay those of the
 * guest, and the hooks' program is named, because it is not where nvidia-ctk would look.
 */
export function containerDevicesArgv(program: string, output: string, extension?: string): readonly string[] {
  const roots = [
    `--driver-root=${extension}`,
    "--dev-root=/",
    `--nvidia-cdi-hook-path=${extension}/bin/nvidia-cdi-hook`,
  ];
  return [program, "-d", "cdi", "generate", `--output=${output}`, ...(extension === undefined ? [] : roots)];
}

/** Describes the GPUs for containers; the agent injects them by this file (CDI). */
export async function describeForContainers(ports: GpuPorts): Promise<void> {
  const extension = ports.extension === undefined ? undefined : gpuPath(ports, "");
  await ports.run(containerDevicesArgv(gpuPath(ports, "/bin/nvidia-ctk"), `${ports.root}${CDI_FILE}`, extension));
}
