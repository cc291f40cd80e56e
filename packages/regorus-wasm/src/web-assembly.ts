/**
 * The part of the WebAssembly API that the loader uses. TypeScript has it in its browser library only, which would
 * bring `window` and the like into daemons.
 */
interface WebAssemblyApi {
  compile(bytes: Uint8Array): Promise<RegorusModule>;
  readonly Instance: new (
    module: RegorusModule,
    imports: Readonly<Record<string, Readonly<Record<string, () => number>>>>,
  ) => { readonly exports: object };
}

/** Compiled code of `regorus.wasm`; shared by all engines of the process. */
export interface RegorusModule {
  readonly [Symbol.toStringTag]?: string;
}

/** Linear memory. `buffer` is a new object after it grew. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer;
}

export const webAssembly: WebAssemblyApi = Reflect.get(globalThis, "WebAssembly") as WebAssemblyApi;

/** Compiles the bytes of `regorus.wasm`. */
export function compileRegorus(bytes: Uint8Array): Promise<RegorusModule> {
  return webAssembly.compile(bytes);
}
