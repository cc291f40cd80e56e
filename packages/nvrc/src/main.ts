import { fileURLToPath } from "node:url";

import { linuxEffects, linuxSyscalls } from "@nacre/kata-sys-util";

import { runInit } from "./boot.ts";
import { kmsgLog } from "./log.ts";
import { MOUNTS } from "./mounts.ts";

/** The init of a virtual machine: the kernel is the guest's own, and what is done to it is done. */
const sys = linuxSyscalls();
runInit({ sys, effects: linuxEffects(sys), log: kmsgLog, mounts: MOUNTS }, fileURLToPath(import.meta.url));
