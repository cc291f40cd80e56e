/**
 * Node's flags for a process that is idle nearly always: a small nursery, and no threads that wait for compilations. And
 * no debugger by a signal. None of them may be one that V8 compiles differently under: it would refuse the compiled code
 * that Node carries of its own modules (`withoutMiddleCompiler` says how that is had). The launcher
 * (guest-rootfs/launcher.c) starts init with the same.
 */
export const NODE_FLAGS: readonly string[] = ["--disable-sigusr1", "--max-semi-space-size=1", "--v8-pool-size=0"];

/** One heap of the C library that gives back what it can, instead of one a thread: 1 MB of an idle agent. */
export const MALLOC_ENVIRONMENT: Readonly<Record<string, string>> = {
  MALLOC_ARENA_MAX: "1",
  MALLOC_TRIM_THRESHOLD_: "65536",
  MALLOC_TOP_PAD_: "4096",
};
