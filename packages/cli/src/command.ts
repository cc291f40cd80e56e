import type { Context } from "./context.ts";

/** An option of a command. */
export interface Flag {
  readonly type: "boolean" | "string";
  readonly short?: string;
  /** May be given more than once. Strings only. */
  readonly multiple?: boolean;
  /** What its value is called in the help. Strings only. */
  readonly value?: string;
  readonly help: string;
}

export type Flags = Readonly<Record<string, Flag>>;

type FlagValue<F extends Flag> = F extends { readonly type: "boolean" }
  ? boolean
  : F extends { readonly multiple: true }
    ? readonly string[]
    : string | undefined;

/** What was given on the command line. */
export interface Invocation<F extends Flags> {
  readonly flags: { readonly [K in keyof F]: FlagValue<F[K]> };
  /** Arguments before `--`. */
  readonly args: readonly string[];
  /** Arguments after `--`; undefined without one. */
  readonly rest: readonly string[] | undefined;
}

/** How many arguments a command takes. */
export interface Arity {
  readonly min: number;
  readonly max: number;
  /** Whether `-- COMMAND` may follow. */
  readonly rest?: boolean;
}

/** One command: what the help says and what is done. The value is the exit status; none is 0. */
export interface CommandDefinition<F extends Flags> {
  /** As typed: `guest start`. */
  readonly name: string;
  /** The arguments, as the help shows them. */
  readonly usage: string;
  readonly summary: string;
  /** Further lines of the command's own help. */
  readonly details?: string;
  readonly arity: Arity;
  readonly flags: F;
  run(invocation: Invocation<F>, context: Context): Promise<number | void>;
}

export type Command = CommandDefinition<Flags>;

/** Types a command's flags by their table. */
export function command<const F extends Flags>(definition: CommandDefinition<F>): Command {
  // The parser fills in what the table declares, which is what the narrower type says.
  return definition;
}
