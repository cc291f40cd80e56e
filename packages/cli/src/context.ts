import { stringifyLossless } from "@nacre/protocols";

import type { Interrupts } from "./interrupts.ts";
import { visible, visibleJson } from "./visible.ts";

/** What a command sees of the process that runs it. */
export interface Context {
  /** Whether results are printed as JSON. */
  readonly json: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  /** Ctrl-C and requests to end. */
  readonly interrupts: Interrupts;
}

/** Prints a result: as JSON on one line, or as text, in which the caller has made visible what others have named. */
export function print(context: Context, value: unknown, text: string): void {
  context.stdout.write(
    context.json
      ? `${visibleJson(stringifyLossless(value))}\n`
      : text === "" || text.endsWith("\n")
        ? text
        : `${text}\n`,
  );
}

/** Tells people what goes on; programs that asked for JSON are not told. */
export function note(context: Context, text: string): void {
  if (!context.json) context.stderr.write(`${visible(text)}\n`);
}

/** Rows under a head line, in aligned columns. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] ?? "").length)));
  return [head, ...rows]
    .map(
      (row) =>
        `${row
          .map((cell, i) => cell.padEnd(widths[i] ?? 0))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}
