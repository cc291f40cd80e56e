import { RegoError } from "./error.ts";
import { type RegorusModule, type WasmMemory, webAssembly } from "./web-assembly.ts";

/** What the module exports; `rust/src/lib.rs` is the other side. Pointers and lengths are bytes in `memory`. */
export interface RegorusExports {
  readonly memory: WasmMemory;
  alloc(length: number): number;
  dealloc(pointer: number, length: number): void;
  text_ptr(which: number): number;
  text_len(which: number): number;
  engine_new(regoV0: number, limitMs: number): number;
  engine_free(handle: number): void;
  engine_add_policy(handle: number, name: number, nameLength: number, rego: number, regoLength: number): number;
  engine_set_data(handle: number, json: number, jsonLength: number): number;
  engine_eval(handle: number, query: number, queryLength: number, input: number, inputLength: number): number;
}

/** The calls that take texts and answer with a status. */
export type TextCall = "engine_add_policy" | "engine_set_data" | "engine_eval";

/** Status numbers of those calls. */
export const Status = { OK: 0, UNDEFINED: 1, ERROR: 2, TIMEOUT: 3 } as const;

/** What `text_ptr` and `text_len` tell of. */
export const Text = { RESULT: 0, PRINTS: 1, RUST_DEBUG: 2 } as const;

const NAMES: readonly (keyof RegorusExports)[] = [
  "memory",
  "alloc",
  "dealloc",
  "text_ptr",
  "text_len",
  "engine_new",
  "engine_free",
  "engine_add_policy",
  "engine_set_data",
  "engine_eval",
];

/** Makes an instance and checks that it is this module's. The clock is the one thing that it can call. */
export function instantiate(module: RegorusModule, monotonicMs: () => number): RegorusExports {
  const { exports } = new webAssembly.Instance(module, { clock: { monotonic_ms: monotonicMs } });
  for (const name of NAMES) {
    if (!(name in exports)) throw new RegoError("module", `expected the regorus module to export ${name}`);
  }
  return exports as RegorusExports;
}
