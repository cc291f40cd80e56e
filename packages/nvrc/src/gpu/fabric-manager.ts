import { readFileSync, writeFileSync } from "node:fs";

import { NvrcError } from "../error.ts";
import { setKeys } from "./key-value-file.ts";
import { startUntil } from "./marker.ts";
import type { FabricMode } from "./mode.ts";
import { type GpuPorts, gpuPath } from "./ports.ts";

/** How partitions use the rails of the fabric; Blackwell's confidential mode needs `symmetric`. */
export type RailPolicy = "greedy" | "symmetric";

const STOCK_CONFIG = "/usr/share/nvidia/nvswitch/fabricmanager.cfg";
const TOPOLOGIES = "/usr/share/nvidia/nvswitch";
const RUNTIME_CONFIG = "/run/fabricmanager.cfg";
const MARKER = "FM starting NvLink Inband";

export interface FabricConfig {
  readonly mode: FabricMode;
  readonly railPolicy: RailPolicy;
  /** Where the descriptions of switch boards lie; undefined where the stock path holds. */
  readonly topologies: string | undefined;
}

/** The stock configuration with what this guest needs. */
export function fabricConfig(stock: string, { mode, railPolicy, topologies }: FabricConfig): string {
  return setKeys(stock, {
    FABRIC_MODE: String(mode),
    PARTITION_RAIL_POLICY: railPolicy,
    ...(topologies === undefined ? {} : { TOPOLOGY_FILE_PATH: topologies }),
  });
}

export function fabricManagerArgv(program: string, config: string, portGuid?: string): readonly string[] {
  return [program, "-c", config, ...(portGuid === undefined ? [] : ["-g", portGuid])];
}

/** Sets up NVLink's fabric. */
export async function startFabricManager(
  ports: GpuPorts,
  mode: FabricMode,
  railPolicy: RailPolicy,
  portGuid?: string,
): Promise<void> {
  const config = `${ports.root}${RUNTIME_CONFIG}`;
  // The stock file names paths of an image that holds everything; in an extension they are nowhere.
  const topologies = ports.extension === undefined ? undefined : gpuPath(ports, TOPOLOGIES);
  const stock = gpuPath(ports, STOCK_CONFIG);
  try {
    const text = fabricConfig(readFileSync(stock, "utf8"), { mode, railPolicy, topologies });
    writeFileSync(config, text, { mode: 0o400, flag: "wx" });
  } catch (cause) {
    throw new NvrcError("gpu", `write ${config} from ${stock}`, { cause });
  }
  const program = gpuPath(ports, "/bin/nv-fabricmanager");
  await startUntil(ports, fabricManagerArgv(program, config, portGuid), MARKER);
}
