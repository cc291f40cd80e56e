import { libc } from "../native.ts";
import type { Syscalls } from "../syscalls.ts";
import { descriptorCalls } from "./descriptors.ts";
import { fileCalls } from "./files.ts";
import { machineCalls } from "./machine.ts";
import { mountCalls } from "./mounts.ts";
import { processCalls } from "./processes.ts";
import { socketCalls } from "./sockets.ts";

let shared: Syscalls | undefined;

/** The real port. One instance a thread; koffi is loaded by the first call made through it, not before. */
export function linuxSyscalls(): Syscalls {
  shared ??= {
    ...mountCalls(libc),
    ...fileCalls(libc),
    ...processCalls(libc),
    ...descriptorCalls(libc),
    ...socketCalls(libc),
    ...machineCalls(libc),
  };
  return shared;
}
