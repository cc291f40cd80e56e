import type { Screen } from "./attach.ts";
import type { Context } from "./context.ts";

/** The user's terminal as the process's: it follows changes of size. */
export function screenOf({ stdout }: Pick<Context, "stdout">): Screen {
  return {
    size: () => (stdout.isTTY ? { rows: stdout.rows, columns: stdout.columns } : undefined),
    watch(changed) {
      // Node tells SIGWINCH as this event.
      stdout.on("resize", changed);
      return { [Symbol.dispose]: () => stdout.off("resize", changed) };
    },
  };
}

/** Passes keys on as they are pressed, Ctrl-C included, until disposed of. Nothing happens when input is no terminal. */
export function rawInput({ stdin }: Pick<Context, "stdin">): Disposable {
  if (!stdin.isTTY) return { [Symbol.dispose]: () => {} };
  stdin.setRawMode(true);
  return { [Symbol.dispose]: () => void stdin.setRawMode(false) };
}
