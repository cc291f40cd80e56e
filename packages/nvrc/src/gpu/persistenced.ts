import { mkdirSync } from "node:fs";

import { startUntil } from "./marker.ts";
import { type GpuPorts, gpuPath } from "./ports.ts";

const RUN_FOLDER = "/var/run/nvidia-persistenced";
const MARKER = "Local RPC services initialized";

export function persistencedArgv(program: string, uvmPersistenceMode: boolean): readonly string[] {
  return [program, "--verbose", ...(uvmPersistenceMode ? ["--uvm-persistence-mode"] : [])];
}

/** Keeps the state of the GPUs between containers; a confidential one would have to be attested again without it. */
export async function startPersistenced(ports: GpuPorts): Promise<void> {
  mkdirSync(`${ports.root}${RUN_FOLDER}`, { recursive: true, mode: 0o755 });
  const program = gpuPath(ports, "/bin/nvidia-persistenced");
  await startUntil(ports, persistencedArgv(program, ports.options.uvmPersistenceMode), MARKER);
}
