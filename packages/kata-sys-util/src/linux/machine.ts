import type { LibC } from "../native.ts";
import type { MachineCalls } from "../syscalls.ts";
import { cString } from "./path.ts";

const CLOCK_REALTIME = 0;
const SECOND = 1_000_000_000n;

export function machineCalls(libc: () => LibC): MachineCalls {
  return {
    clockSettime: (timeNs) => {
      const time = libc().encode("timespec", { tv_sec: timeNs / SECOND, tv_nsec: timeNs % SECOND });
      libc().call("clock_settime", undefined, CLOCK_REALTIME, time);
    },
    swapon: async (path, flags) => {
      await libc().later("swapon", path, cString(path, "swapon"), flags);
    },
    swapoff: async (path) => {
      await libc().later("swapoff", path, cString(path, "swapoff"));
    },
    finitModule: async (fd, parameters) => {
      await libc().later("finit_module", undefined, fd, cString(parameters, "finit_module"), 0);
    },
    reboot: (command) => {
      // The C library takes an int, and the commands use its sign bit.
      libc().call("reboot", undefined, command | 0);
    },
  };
}
