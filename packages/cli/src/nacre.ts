import type { Command } from "./command.ts";
import { type Context, print } from "./context.ts";
import { describeError, NacreError } from "./error.ts";
import { commandHelp, helpJson, overview } from "./help.ts";
import { Interrupted } from "./interrupts.ts";
import { type Parsed, parseCommand } from "./parse-command.ts";
import { visible, visibleJson } from "./visible.ts";

/** Exit status of a command line that cannot be understood. */
export const USAGE_STATUS = 2;
/** Exit status of `run` and `exec` when it is not the process's own (as other container tools have it). */
export const NOT_RUN_STATUS = 125;

const RUNNERS: ReadonlySet<string> = new Set(["run", "exec"]);

/** Runs one command line to its exit status. Never throws: an error is told in one line, without a stack. */
export async function nacre(
  commands: readonly Command[],
  argv: readonly string[],
  context: Omit<Context, "json">,
): Promise<number> {
  let parsed: Parsed | undefined;
  try {
    parsed = parseCommand(commands, argv);
    const full: Context = { ...context, json: parsed.json };
    if (parsed.kind === "run") return (await parsed.command.run(parsed.invocation, full)) ?? 0;
    const shown = parsed.command === undefined ? commands : [parsed.command];
    print(full, helpJson(shown), parsed.command === undefined ? overview(commands) : commandHelp(parsed.command));
    return 0;
  } catch (error) {
    const { reason } = context.interrupts.signal;
    if (reason instanceof Interrupted) return reason.exitStatus;
    const code = error instanceof NacreError ? error.code : "internal";
    const beforeEnd = argv.slice(0, argv.includes("--") ? argv.indexOf("--") : undefined);
    const json = parsed?.json ?? beforeEnd.includes("--json");
    // The agent tells causes below each other.
    const message = describeError(error)
      .trim()
      .replaceAll(/\s*\n\s*/gu, " ");
    context.stderr.write(
      json ? `${visibleJson(JSON.stringify({ error: { code, message } }))}\n` : `nacre: ${visible(message)}\n`,
    );
    if (code === "usage") return USAGE_STATUS;
    return parsed?.kind === "run" && RUNNERS.has(parsed.command.name) ? NOT_RUN_STATUS : 1;
  }
}
