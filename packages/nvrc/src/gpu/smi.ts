import { type GpuPorts, gpuPath } from "./ports.ts";

const nvidiaSmi = (ports: GpuPorts): string => gpuPath(ports, "/bin/nvidia-smi");

/** Clocks and power as the kernel command line asks; nothing where it does not. */
export async function limitGpus(ports: GpuPorts): Promise<void> {
  const { memoryClock, graphicsClock, powerLimit } = ports.options;
  const wanted = [
    ["-lmc", memoryClock],
    ["-lgc", graphicsClock],
    ["-pl", powerLimit],
  ] as const;
  for (const [option, value] of wanted) {
    if (value !== undefined) await ports.run(smiArgv(nvidiaSmi(ports), option, value));
  }
}

export function smiArgv(program: string, option: "-lmc" | "-lgc" | "-pl", value: number): readonly string[] {
  return [program, option, String(value)];
}

/** The confidential ready state: before it the driver gives no work to the GPUs. */
export async function setReadyState(ports: GpuPorts): Promise<void> {
  const { readyState } = ports.options;
  if (readyState !== undefined) await ports.run(readyStateArgv(nvidiaSmi(ports), readyState));
}

export function readyStateArgv(program: string, state: string): readonly string[] {
  return [program, "conf-compute", "-srs", state];
}
