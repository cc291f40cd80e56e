import { type GpuPorts, gpuPath } from "./ports.ts";

const CONFIG = "/usr/share/nvidia/nvlsm/nvlsm.conf";

export function subnetManagerArgv(program: string, config: string, portGuid: string): readonly string[] {
  return [program, "-F", config, "-g", portGuid, "-f", "stdout"];
}

/** Manages the subnet of the bridges to the switches of NVLink 5; the fabric manager needs it. */
export async function startSubnetManager(ports: GpuPorts, portGuid: string): Promise<void> {
  await ports.start(subnetManagerArgv(gpuPath(ports, "/sbin/nvlsm"), gpuPath(ports, CONFIG), portGuid));
}
