import { invalidArgument } from "./error.ts";

/** Our command line: `kata-agent [--version] [-c FILE]` (section 2.1). */
export interface Options {
  readonly version: boolean;
  readonly config: string | undefined;
}

const USAGE = "usage: kata-agent [--version] [-c FILE]";

/**
 * Parses the arguments after the program's name. Throws AgentError on anything else than the two options. By hand,
 * because importing node:util for its parser alone costs three megabytes of an idle agent.
 */
export function parseOptions(args: readonly string[]): Options {
  let version = false;
  let config: string | undefined;
  const rest = [...args];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    if (arg === "--version") version = true;
    else if (arg === "-c" || arg === "--config") config = rest.shift() ?? fail(`${arg}: expected a file`);
    else if (arg.startsWith("--config=")) config = arg.slice("--config=".length);
    else fail(`unknown argument ${arg}`);
  }
  return { version, config };
}

function fail(problem: string): never {
  throw invalidArgument(USAGE, new Error(problem));
}
