import { Script } from "node:vm";
import type { Deadline } from "regorus-wasm";

/** Where the script finds what it has to call: a script sees globals only. */
const SLOT = Symbol.for("nacre.agent-policy.deadline");
const slot = globalThis as { [SLOT]?: (() => unknown) | undefined };
let script: Script | undefined;

/**
 * A bound from outside on each synchronous call, in milliseconds. V8 ends what runs in a script, WebAssembly included,
 * from another thread. A call that is ended throws here, and leaves half-way whatever it worked on.
 *
 * Where Node cannot start that thread, for want of tasks or descriptors, it ends the process: whoever lets others use
 * them up looks for free ones before.
 */
export function scriptDeadline(limitMs: number): Deadline {
  return <T>(work: () => T): T => {
    script ??= new Script('globalThis[Symbol.for("nacre.agent-policy.deadline")]()');
    const outer = slot[SLOT];
    slot[SLOT] = work;
    try {
      return script.runInThisContext({ timeout: limitMs }) as T;
    } finally {
      slot[SLOT] = outer;
    }
  };
}
