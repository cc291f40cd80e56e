import { describeForContainers } from "./container-devices.ts";
import { startDcgm } from "./dcgm.ts";
import { loadInTree, loadNvidia, nvidiaParameters } from "./driver.ts";
import { startFabricManager } from "./fabric-manager.ts";
import type { Mode } from "./mode.ts";
import { startPersistenced } from "./persistenced.ts";
import { findPortGuid } from "./port-guid.ts";
import type { GpuPorts } from "./ports.ts";
import { limitGpus, setReadyState } from "./smi.ts";
import { startSubnetManager } from "./subnet-manager.ts";

/** The agent starts the attester for the GPU too when it finds this in its environment (its section 7). */
export const ATTESTER_ENVIRONMENT: Readonly<Record<string, string>> = { KATA_ATTESTER_VARIANT: "nvidia" };

/** Sets up what is plugged in (section 1.4). */
export async function setUpMode(mode: Mode, ports: GpuPorts): Promise<void> {
  ports.log.info(`mode ${mode.name}`);
  switch (mode.name) {
    case "cpu":
      return;
    case "gpu":
      await loadDriver(mode, ports);
      return setUpGpus(ports);
    case "nvl4":
      await loadDriver(mode, ports);
      await startFabricManager(ports, mode.fabric, "greedy");
      return setUpGpus(ports);
    case "nvl5":
      await loadDriver(mode, ports);
      await setUpNvl5(mode, ports);
      return setUpGpus(ports);
    case "servicevm-nvl4":
      await loadNvidia(ports, "nvidia");
      return startFabricManager(ports, mode.fabric, "greedy");
    case "servicevm-nvl5":
      return setUpNvl5(mode, ports);
  }
}

async function loadDriver(mode: Mode, ports: GpuPorts): Promise<void> {
  await loadNvidia(ports, "nvidia", nvidiaParameters(mode));
  await loadNvidia(ports, "nvidia-uvm");
}

async function setUpNvl5(mode: Extract<Mode, { fabric: unknown }>, ports: GpuPorts): Promise<void> {
  await loadInTree(ports, "ib_umad");
  await loadInTree(ports, "mlx5_ib");
  const guid = findPortGuid(ports.sysfs);
  await startSubnetManager(ports, guid);
  await startFabricManager(ports, mode.fabric, "symmetric", guid);
}

/** The ready state comes last: until then no work reaches the GPUs. */
async function setUpGpus(ports: GpuPorts): Promise<void> {
  await startPersistenced(ports);
  await limitGpus(ports);
  await startDcgm(ports);
  await describeForContainers(ports);
  await setReadyState(ports);
}
