import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

import type koffiModule from "koffi";
import type { TypeObject } from "koffi";

import { Errno } from "./errno.ts";
import { SysError } from "./error.ts";
import { layouts, type Field, type LayoutName } from "./layouts.ts";
import { rawCalls, signatures, type CallName } from "./signatures.ts";

type Koffi = typeof koffiModule;
type NativeValue = number | bigint | string | Uint8Array | null;

type AsyncCallback = (error: Error | null, result: number) => void;

interface NativeFunction {
  (...args: readonly NativeValue[]): number;
  // The last argument is a callback that gets the error or the result; exactly one is set.
  async: (...args: readonly (NativeValue | AsyncCallback)[]) => void;
}

/** What koffi calls with the readiness of a descriptor: libuv's status (negative on error) and the events. */
export type PollCallback = (
  status: number,
  events: { readonly readable: boolean; readonly writable: boolean; readonly disconnect: boolean },
) => void;

/** libuv's poll handle; koffi's own declaration leaves the status out of the callback. */
export interface PollHandle {
  start(events: { readable?: boolean; writable?: boolean; disconnect?: boolean }, callback: PollCallback): void;
  stop(): void;
  close(): void;
  ref(): void;
  unref(): void;
}

/** The name under which a guest's bundles find koffi's native module: in the same folder. */
const BESIDE_BUNDLE = "./koffi.node";

/**
 * Loads koffi. In a bundle its native module lies beside the file (the package folder is gone then); in a checkout it
 * is an ordinary dependency. Asking Node instead of importing keeps the cost (7 ms, 1 MB) away from whoever needs no
 * system call, and keeps the bundler from following koffi's own search.
 */
export function loadKoffi(baseUrl: string = import.meta.url): Koffi {
  const beside = fileURLToPath(new URL(BESIDE_BUNDLE, baseUrl));
  try {
    if (existsSync(beside)) {
      const found = { exports: {} };
      process.dlopen(found, beside);
      return found.exports as Koffi;
    }
    // Not at start: it is a checkout's way alone, and loads Node's reader of source maps.
    const { createRequire } = process.getBuiltinModule("node:module");
    return createRequire(baseUrl)("koffi") as Koffi;
  } catch (cause) {
    throw new SysError("native", 0, "dlopen", `koffi: expected ${beside} or the package, got neither`, { cause });
  }
}

/** Resolves the C library's functions, each on its first use, and turns -1 into {@link SysError}. */
export class LibC {
  readonly koffi: Koffi;
  readonly #library: ReturnType<Koffi["load"]>;
  readonly #functions = new Map<CallName, NativeFunction>();
  readonly #structures = new Map<LayoutName, TypeObject>();

  constructor(koffi: Koffi = loadKoffi()) {
    this.koffi = koffi;
    // Null is the running program: Node links the C library (glibc or musl) whose name we need not know.
    this.#library = koffi.load(null);
  }

  /** Calls on this thread. Only for calls that do not block. */
  call(name: CallName, path: string | undefined, ...args: readonly NativeValue[]): number {
    const result = this.#function(name)(...args);
    if (result < 0) throw SysError.fromErrno(this.koffi.errno(), name, path);
    return result;
  }

  /** As {@link call}, but answers the negative error number instead of throwing: for errors that are expected. */
  attempt(name: CallName, ...args: readonly NativeValue[]): number {
    const result = this.#function(name)(...args);
    return result < 0 ? -this.koffi.errno() : result;
  }

  /**
   * Calls on a thread of libuv's pool. koffi saves that thread's errno right after the call and restores it around the
   * callback, so it has to be read there and nowhere later; a test runs many failing calls at once.
   */
  later(name: CallName, path: string | undefined, ...args: readonly NativeValue[]): Promise<number> {
    return new Promise((resolve, reject) => {
      // The other thread works on the buffers among the arguments: they are held here until it is done.
      let held: readonly NativeValue[] | undefined = args;
      this.#function(name).async(...held, (error, result) => {
        held = undefined;
        if (error !== null) reject(error);
        else if (result < 0) reject(SysError.fromErrno(this.koffi.errno(), name, path));
        else resolve(result);
      });
    });
  }

  structure(name: LayoutName): TypeObject {
    let type = this.#structures.get(name);
    if (type === undefined) {
      type = this.koffi.struct(
        Object.fromEntries(
          Object.entries(layouts[name] as Readonly<Record<string, Field>>).map(
            ([field, spec]) => [field, this.#fieldType(spec)] as const,
          ),
        ),
      );
      this.#structures.set(name, type);
    }
    return type;
  }

  /** Where a structure's fields lie, for the calls of which there are thousands a second: decoding whole costs more. */
  offsets(name: LayoutName): Readonly<Record<string, number>> {
    const type = this.structure(name);
    return Object.fromEntries(
      Object.keys(layouts[name]).map((field) => [field, this.koffi.offsetof(type, field)] as const),
    );
  }

  /** A zeroed block of memory of a structure's size. */
  alloc(name: LayoutName): Buffer {
    return Buffer.alloc(this.structure(name).size);
  }

  encode(name: LayoutName, value: Record<string, unknown>): Buffer {
    const block = this.alloc(name);
    this.koffi.encode(block, this.structure(name), value);
    return block;
  }

  decode(name: LayoutName, block: Uint8Array): unknown {
    return this.koffi.decode(block, this.structure(name));
  }

  poll(
    fd: number,
    events: { readable?: boolean; writable?: boolean; disconnect?: boolean },
    callback: PollCallback,
  ): PollHandle {
    const poll = this.koffi.node.poll as unknown as (
      fd: number,
      events: { readable?: boolean; writable?: boolean; disconnect?: boolean },
      callback: PollCallback,
    ) => PollHandle;
    return poll(fd, events, callback);
  }

  #fieldType(spec: Field): TypeObject | string {
    if (typeof spec !== "string") return this.koffi.array(spec[0], spec[1]);
    return spec in layouts ? this.structure(spec as LayoutName) : spec;
  }

  #function(name: CallName): NativeFunction {
    let fn = this.#functions.get(name);
    if (fn === undefined) {
      fn = this.#resolve(name);
      this.#functions.set(name, fn);
    }
    return fn;
  }

  #resolve(name: CallName): NativeFunction {
    try {
      if (!(name in rawCalls)) {
        return this.#library.func(signatures[name as keyof typeof signatures]) as NativeFunction;
      }
      const { parameters, ...numbers } = rawCalls[name as keyof typeof rawCalls];
      const number = (numbers as Record<string, number>)[process.arch];
      if (number === undefined) throw new Error(`expected x64 or arm64, got ${process.arch}`);
      const raw = this.#library.func(`long syscall(long, ${parameters})`) as NativeFunction;
      return Object.assign((...args: readonly NativeValue[]) => raw(number, ...args), {
        async: (...args: readonly (NativeValue | AsyncCallback)[]): void => {
          raw.async(number, ...args);
        },
      });
    } catch (cause) {
      throw new SysError("ENOSYS", Errno.ENOSYS, name, `${name}: not in this C library`, { cause });
    }
  }
}

let shared: LibC | undefined;

/** The one instance of this thread, made on first use. */
export function libc(): LibC {
  shared ??= new LibC();
  return shared;
}
