import { parseArgs } from "node:util";

import { invalidArgument } from "./error.ts";

/** Our command line: `kata-agent [--version] [-c FILE]` (section 2.1). */
export interface Options {
  readonly version: boolean;
  readonly config: string | undefined;
}

/** Parses the arguments after the program's name. Throws AgentError on anything else than the two options. */
export function parseOptions(args: readonly string[]): Options {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { version: { type: "boolean", default: false }, config: { type: "string", short: "c" } },
      strict: true,
    });
    return { version: values.version, config: values.config };
  } catch (cause) {
    throw invalidArgument("usage: kata-agent [--version] [-c FILE]", cause);
  }
}
