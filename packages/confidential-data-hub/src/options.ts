import { ConfigError } from "./error.ts";

/** What the command line asks for. */
export interface HubOptions {
  readonly version: boolean;
  /** Path after `-c` or `--config`. */
  readonly config?: string;
}

export const USAGE = "usage: confidential-data-hub [-c FILE | --config FILE] [--version]";

/** @throws ConfigError for anything else than the known options */
export function parseOptions(args: readonly string[]): HubOptions {
  let options: HubOptions = { version: false };
  for (let at = 0; at < args.length; at += 1) {
    const [flag = "", attached] = (args[at] ?? "").split(/=(.*)/s);
    if (flag === "--version" || flag === "-V") options = { ...options, version: true };
    else if (flag === "-c" || flag === "--config") {
      const value = attached ?? args[(at += 1)];
      if (value === undefined || value === "") throw new ConfigError(`${flag} needs a file\n${USAGE}`);
      options = { ...options, config: value };
    } else throw new ConfigError(`unknown option ${JSON.stringify(args[at])}\n${USAGE}`);
  }
  return options;
}
