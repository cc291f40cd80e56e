import { type GpuPorts, gpuPath } from "./ports.ts";

/** Not root, and a home on what can be written. */
export function hostengineArgv(program: string): readonly string[] {
  return [program, "--service-account", "nvidia-dcgm", "--home-dir", "/tmp"];
}

export function exporterArgv(program: string): readonly string[] {
  return [program, "-k", "-f", "/etc/dcgm-exporter/default-counters.csv"];
}

/** Metrics of the GPUs, where the kernel command line asks for them. */
export async function startDcgm(ports: GpuPorts): Promise<void> {
  if (!ports.options.dcgm) return;
  await ports.start(hostengineArgv(gpuPath(ports, "/bin/nv-hostengine")));
  await ports.start(exporterArgv(gpuPath(ports, "/bin/dcgm-exporter")));
}
