import { NvrcError } from "../error.ts";
import type { Topology } from "./topology.ts";

/** How NVLink's switches are run: 0, the GPUs are in this guest; 1, they are in others that this one serves. */
export type FabricMode = 0 | 1;

/** What init sets up, by what is plugged in (section 1.4). */
export type Mode =
  | { readonly name: "cpu" }
  | { readonly name: "gpu"; readonly gpus: number }
  /** Eight GPUs with the four switches of NVLink 4: a confidential guest has them in Protected PCIe mode. */
  | { readonly name: "nvl4"; readonly gpus: number; readonly fabric: FabricMode }
  | { readonly name: "nvl5"; readonly gpus: number; readonly fabric: FabricMode }
  | { readonly name: "servicevm-nvl4"; readonly gpus: number; readonly fabric: FabricMode }
  | { readonly name: "servicevm-nvl5"; readonly gpus: number; readonly fabric: FabricMode };

/** The mode of a topology. One that is not in the table ends the guest: half a fabric is not to be trusted. */
export function modeOf({ switches, gpus, switchManagers }: Topology): Mode {
  switch (`${switches} ${gpus} ${switchManagers}`) {
    case "0 0 0":
      return { name: "cpu" };
    case "4 8 0":
      return { name: "nvl4", gpus, fabric: 0 };
    case "4 0 0":
      return { name: "servicevm-nvl4", gpus, fabric: 1 };
    case "0 8 4":
      return { name: "nvl5", gpus, fabric: 0 };
    case "0 0 4":
      return { name: "servicevm-nvl5", gpus, fabric: 1 };
    default:
      if (switches === 0 && switchManagers === 0) return { name: "gpu", gpus };
      throw new NvrcError(
        "topology",
        `mode: expected a known topology, got ${switches} NVSWITCH, ${gpus} GPU, ${switchManagers} PCI_SW_MNG`,
      );
  }
}
