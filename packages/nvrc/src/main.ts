import { constants, openSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { linuxEffects, linuxSyscalls } from "@nacre/kata-sys-util";

import { runInit } from "./boot.ts";
import { openByVeritysetup } from "./extensions/open.ts";
import { helperRunner } from "./helper.ts";
import { kmsgSink, Log } from "./log.ts";
import { MOUNTS, OPTIONAL_MOUNTS } from "./mounts.ts";

/** The init of a virtual machine: the kernel is the guest's own, and what is done to it is done. */
const sys = linuxSyscalls();
const log = new Log(kmsgSink, "off");
const run = helperRunner(log);
const sysfs = "/sys";
runInit(
  {
    sys,
    effects: linuxEffects(sys),
    log,
    mounts: MOUNTS,
    optionalMounts: OPTIONAL_MOUNTS,
    sysfs,
    run,
    openExtension: openByVeritysetup(run, sysfs),
    output: () => openSync("/dev/kmsg", constants.O_WRONLY),
  },
  fileURLToPath(import.meta.url),
);
