import { RegoError } from "./error.ts";
import {
  type RegorusModule,
  type SuspendingFunction,
  type WasmFunction,
  type WasmMemory,
  webAssembly,
} from "./web-assembly.ts";

/** Functions of the module that may run long, and so may wait in between; `rust/src/` is the other side. */
const WAITING = [
  "alloc",
  "dealloc",
  "engine_new",
  "engine_add_policy",
  "engine_set_data",
  "engine_eval",
  "engine_compile",
  "engine_explain",
  "machine_new",
  "machine_add_program",
  "machine_set_data",
  "machine_run",
] as const;

/** A function of the module by name. */
export type Call = (typeof WAITING)[number];

/** What the module exports. Pointers and lengths are bytes in `memory`. */
export interface RegorusExports {
  readonly memory: WasmMemory;
  text_ptr(which: number): number;
  text_len(which: number): number;
  readonly calls: Readonly<Record<Call, (...args: readonly number[]) => Promise<number>>>;
}

/** Status numbers of calls that have one. */
export const Status = { OK: 0, UNDEFINED: 1, ERROR: 2, TIMEOUT: 3 } as const;

/** What `text_ptr` and `text_len` tell of. */
export const Text = { RESULT: 0, PRINTS: 1, RUST_DEBUG: 2 } as const;

/** What the module can call, and nothing else. */
export interface Host {
  monotonic_ms(): number;
  pause(): Promise<void> | void;
}

/**
 * Makes an instance and checks that it is this module's. One that never waits needs none of the engine's machinery for
 * that, which is 3 MB of a process.
 */
export function instantiate(module: RegorusModule, host: Host, waits: boolean): RegorusExports {
  const pause: SuspendingFunction | WasmFunction = waits
    ? new webAssembly.Suspending(() => host.pause())
    : (): void => void host.pause();
  const imports = { host: { monotonic_ms: () => host.monotonic_ms(), pause } };
  const exports = new webAssembly.Instance(module, imports).exports as Readonly<Record<string, unknown>>;
  const named = (name: string): unknown => {
    if (!(name in exports)) throw new RegoError("module", `expected the regorus module to export ${name}`);
    return exports[name];
  };
  const calls = WAITING.map((name) => {
    const call = named(name) as (...args: readonly number[]) => number;
    return [name, waits ? webAssembly.promising(call) : async (...args: readonly number[]) => call(...args)] as const;
  });
  return {
    memory: named("memory") as WasmMemory,
    text_ptr: named("text_ptr") as RegorusExports["text_ptr"],
    text_len: named("text_len") as RegorusExports["text_len"],
    calls: Object.fromEntries(calls) as RegorusExports["calls"],
  };
}
