/** A function of a module, or one that it imports. Numbers in, a number or nothing out. */
export type WasmFunction = (...args: readonly number[]) => number | void;

/** Makes a module wait, when it returns a promise, while everything else goes on. */
declare const suspending: unique symbol;
export interface SuspendingFunction {
  readonly [suspending]: true;
}

/**
 * The part of the WebAssembly API that the loader uses. TypeScript has it in its browser library only, which would
 * bring `window` and the like into daemons, and JavaScript promise integration not at all.
 */
interface WebAssemblyApi {
  compile(bytes: Uint8Array): Promise<RegorusModule>;
  readonly Instance: new (
    module: RegorusModule,
    imports: Readonly<Record<string, Readonly<Record<string, WasmFunction | SuspendingFunction>>>>,
  ) => { readonly exports: object };
  readonly Suspending: new (work: () => Promise<void> | void) => SuspendingFunction;
  promising(work: WasmFunction): (...args: readonly number[]) => Promise<number>;
}

/** Compiled code of `regorus.wasm`; shared by all instances of the process. */
export interface RegorusModule {
  readonly [Symbol.toStringTag]?: string;
}

/** Linear memory. `buffer` is a new object after it grew. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer;
}

// Where a package brings the browser's types, they know less of it.
const found: unknown = Reflect.get(globalThis, "WebAssembly");
export const webAssembly: WebAssemblyApi = found as WebAssemblyApi;

/** Compiles the bytes of `regorus.wasm`. */
export function compileRegorus(bytes: Uint8Array): Promise<RegorusModule> {
  return webAssembly.compile(bytes);
}
