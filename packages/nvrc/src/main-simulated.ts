import { fileURLToPath } from "node:url";

import { linuxSyscalls, recordingEffects } from "@nacre/kata-sys-util";

import { runInit } from "./boot.ts";
import { NvrcError } from "./error.ts";
import { helperRunner } from "./helper.ts";
import { Log, stderrSink } from "./log.ts";
import { SIMULATED_MOUNTS } from "./mounts.ts";

/** Stands for /sys: the machine's devices are none of the guest's. A file that a guest is started with may lie there. */
const SIMULATED_SYSFS = "/usr/share/nacre/sys";
const STDERR = 2;

/** The init of a simulated guest: what its namespaces do not hold is told, not done, for the kernel is somebody else's. */
const log = new Log(stderrSink, "info");
runInit(
  {
    sys: linuxSyscalls(),
    effects: recordingEffects(({ name, args }) => log.info(`effect ${name} ${JSON.stringify(args)}`)),
    log,
    mounts: SIMULATED_MOUNTS,
    optionalMounts: [],
    sysfs: SIMULATED_SYSFS,
    run: helperRunner(log),
    openExtension: async ({ name }) => {
      const message = `extension ${name}: a simulated guest has no device mapper but the machine's`;
      throw new NvrcError("extension", message);
    },
    output: () => STDERR,
  },
  fileURLToPath(import.meta.url),
);
