import { fileURLToPath } from "node:url";

import { linuxSyscalls, recordingEffects } from "@nacre/kata-sys-util";

import { runInit } from "./boot.ts";
import { stderrLog as log } from "./log.ts";
import { SIMULATED_MOUNTS } from "./mounts.ts";

/** The init of a simulated guest: what its namespaces do not hold is told, not done, for the kernel is somebody else's. */
const effects = recordingEffects(({ name, args }) => log(`effect ${name} ${JSON.stringify(args)}`));
runInit({ sys: linuxSyscalls(), effects, log, mounts: SIMULATED_MOUNTS }, fileURLToPath(import.meta.url));
