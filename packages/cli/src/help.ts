import type { Command, Flags } from "./command.ts";
import { COMMON_FLAGS } from "./parse-command.ts";

const INTRODUCTION = `nacre runs the guest of a confidential pod on this machine: a guest in fresh namespaces, images pulled inside of it,
containers under a policy.

A first walk:
  nacre doctor                                what works on this machine, and what to do about the rest
  nacre guest start                           a guest; prints its addresses
  nacre run IMAGE -- echo hello               pull inside the guest, create, start, show the output
  nacre policy check policy.rego              does a policy parse
  nacre run --policy policy.rego IMAGE -- id  the same under that policy
  nacre guest stop                            takes everything away
`;

const CLOSING = `Every command takes --json and --help. Exit status: 0; 1 when something failed; 2 for a wrong command line; run and exec
give the status of what they ran, or 125 when it did not run.
`;

/** The help of all commands, from their table. */
export function overview(commands: readonly Command[]): string {
  const rows = commands.map(({ name, usage, summary }): [string, string] => [`${name} ${usage}`.trimEnd(), summary]);
  return `${INTRODUCTION}\nCommands:\n${columns(rows)}\n${CLOSING}`;
}

/** The help of one command. */
export function commandHelp({ name, usage, summary, details, flags, arity }: Command): string {
  const own = Object.keys(flags).length > 0 ? "[OPTION...] " : "";
  const head = `nacre ${name} ${own}${usage}`.trimEnd();
  const more = details === undefined ? "" : `\n${details.trim()}\n`;
  const after = arity.rest === true ? "\nWhat follows -- is passed on as it is.\n" : "";
  return `${head}\n\n${summary}.\n${more}${after}\nOptions:\n${columns(flagRows({ ...flags, ...COMMON_FLAGS }))}`;
}

/** The same for programs. */
export function helpJson(commands: readonly Command[]): object {
  return {
    commands: commands.map(({ name, usage, summary, flags }) => ({
      name,
      usage,
      summary,
      options: Object.entries({ ...flags, ...COMMON_FLAGS }).map(([option, { short, value, help }]) => ({
        option: `--${option}`,
        ...(short === undefined ? {} : { short: `-${short}` }),
        ...(value === undefined ? {} : { value }),
        help,
      })),
    })),
  };
}

function flagRows(flags: Flags): [string, string][] {
  return Object.entries(flags).map(([name, { short, value, help, multiple }]) => [
    `${short === undefined ? "    " : `-${short}, `}--${name}${value === undefined ? "" : ` ${value}`}`,
    multiple === true ? `${help} (repeatable)` : help,
  ]);
}

/** Two columns; a left side that is too long gets a line of its own. */
function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.min(38, Math.max(...rows.map(([left]) => left.length)));
  return rows
    .map(([left, right]) =>
      left.length > width ? `  ${left}\n  ${" ".repeat(width)}  ${right}\n` : `  ${left.padEnd(width)}  ${right}\n`,
    )
    .join("");
}
