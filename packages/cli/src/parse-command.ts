import { parseArgs } from "node:util";

import type { Command, Flags, Invocation } from "./command.ts";
import { NacreError } from "./error.ts";

/** Flags that every command has. */
export const COMMON_FLAGS: Flags = {
  json: { type: "boolean", help: "print JSON" },
  help: { type: "boolean", short: "h", help: "show this help" },
};

/** What the command line asks for. */
export type Parsed =
  | { readonly kind: "help"; readonly command: Command | undefined; readonly json: boolean }
  | {
      readonly kind: "run";
      readonly command: Command;
      readonly invocation: Invocation<Flags>;
      readonly json: boolean;
    };

/** Finds the command and reads its options. Throws NacreError `usage`. */
export function parseCommand(commands: readonly Command[], argv: readonly string[]): Parsed {
  const [first, second] = argv;
  if (first === undefined || first === "--help" || first === "-h") {
    return { kind: "help", command: undefined, json: argv.includes("--json") };
  }
  if (first === "help") return { kind: "help", command: named(commands, argv.slice(1)), json: argv.includes("--json") };
  const found =
    commands.find(({ name }) => name === `${first} ${second ?? ""}`) ?? commands.find((c) => c.name === first);
  if (found === undefined) throw unknownCommand(commands, first, second);
  return parseInvocation(found, argv.slice(found.name.split(" ").length));
}

function parseInvocation(found: Command, argv: readonly string[]): Parsed {
  const flags: Flags = { ...found.flags, ...COMMON_FLAGS };
  let parsed;
  try {
    parsed = parseArgs({
      args: [...argv],
      options: Object.fromEntries(
        Object.entries(flags).map(([name, { type, short, multiple }]) => [
          name,
          { type, ...(short === undefined ? {} : { short }), ...(multiple === undefined ? {} : { multiple }) },
        ]),
      ),
      allowPositionals: true,
      strict: true,
      tokens: true,
    });
  } catch (error) {
    // The parser's text explains how to escape an argument, over several sentences; its first one says what is wrong.
    const text = error instanceof Error ? (error.message.split(". ")[0] ?? "") : String(error);
    throw new NacreError("usage", `${found.name}: ${text}; see nacre ${found.name} --help`);
  }
  const { values, tokens } = parsed;
  const json = values["json"] === true;
  if (values["help"] === true) return { kind: "help", command: found, json };
  const end = tokens.find(({ kind }) => kind === "option-terminator");
  const positionals = tokens.filter((token) => token.kind === "positional");
  const args = positionals.filter(({ index }) => end === undefined || index < end.index).map(({ value }) => value);
  const rest = end === undefined ? undefined : argv.slice(end.index + 1);
  checkArity(found, args.length, rest);
  return { kind: "run", command: found, invocation: { flags: withDefaults(found.flags, values), args, rest }, json };
}

function withDefaults(flags: Flags, values: Readonly<Record<string, unknown>>): Record<string, never> {
  return Object.fromEntries(
    Object.entries(flags).map(([name, { type, multiple }]) => [
      name,
      values[name] ?? (type === "boolean" ? false : multiple === true ? [] : undefined),
    ]),
  ) as Record<string, never>;
}

function checkArity({ name, usage, arity }: Command, given: number, rest: readonly string[] | undefined): void {
  const expected = `expected: nacre ${name} ${usage}`.trimEnd();
  if (given < arity.min) throw new NacreError("usage", `${name}: an argument is missing; ${expected}`);
  if (given > arity.max) {
    const hint = arity.rest === true ? " (a command for the container comes after --)" : "";
    throw new NacreError("usage", `${name}: too many arguments${hint}; ${expected}`);
  }
  if (rest !== undefined && arity.rest !== true)
    throw new NacreError("usage", `${name}: nothing may follow --; ${expected}`);
}

function named(commands: readonly Command[], words: readonly string[]): Command | undefined {
  const name = words.filter((word) => !word.startsWith("-")).join(" ");
  if (name === "") return undefined;
  const found = commands.find((c) => c.name === name);
  if (found === undefined) throw unknownCommand(commands, name);
  return found;
}

function unknownCommand(commands: readonly Command[], first: string, second?: string): NacreError {
  const group = commands.filter(({ name }) => name.startsWith(`${first} `)).map(({ name }) => name);
  if (group.length > 0) {
    const asked = second === undefined || second.startsWith("-") ? first : `${first} ${second}`;
    return new NacreError("usage", `no command ${asked}; there are ${group.join(", ")}`);
  }
  return new NacreError("usage", `no command ${first}; nacre --help lists all`);
}
