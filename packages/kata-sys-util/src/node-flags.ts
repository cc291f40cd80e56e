/**
 * V8's flags for a process that is idle nearly always: a small nursery, no threads that wait for compilations, and a heap
 * below the size from which V8 keeps a copy of its built-in code beside each heap, which is 2 MB that processes could
 * share. None may be one that V8 compiles differently under: it would refuse the compiled code that Node carries of its
 * own modules (`withoutMiddleCompiler` says how that is had).
 */
const HEAP_FLAGS: readonly string[] = ["--max-semi-space-size=1", "--v8-pool-size=0", "--max-old-space-size=512"];

/** Node's flags for the daemons, and no debugger by a signal. guest-rootfs/launcher.c starts init with the same. */
export const NODE_FLAGS: readonly string[] = ["--disable-sigusr1", ...HEAP_FLAGS];

/** One heap of the C library that gives back what it can, instead of one a thread: 1 MB of an idle agent. */
export const MALLOC_ENVIRONMENT: Readonly<Record<string, string>> = {
  MALLOC_ARENA_MAX: "1",
  MALLOC_TRIM_THRESHOLD_: "65536",
  MALLOC_TOP_PAD_: "4096",
};

/**
 * The same for a program that may or may not be one of ours, and whose first line has room for one flag. Only ever put
 * into an environment that is made anew: what a process finds there of others is code of their choice.
 */
export const DAEMON_ENVIRONMENT: Readonly<Record<string, string>> = {
  ...MALLOC_ENVIRONMENT,
  NODE_OPTIONS: HEAP_FLAGS.join(" "),
};
