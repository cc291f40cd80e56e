import { ConfigError } from "./error.ts";
import type { Flavour } from "./flavour.ts";

/** What the command line asks for. */
export interface HubOptions {
  readonly version: boolean;
  /** Path after `-c` or `--config`. */
  readonly config?: string;
  /** HOST:PORT for gRPC, devkit only: containers share the guest's loopback. */
  readonly grpcAddress?: string;
}

export const USAGE = "usage: confidential-data-hub [-c FILE | --config FILE] [--grpc-address HOST:PORT] [--version]";

const FLAGS: Readonly<Record<string, Exclude<keyof HubOptions, "version">>> = {
  "-c": "config",
  "--config": "config",
  "--grpc-address": "grpcAddress",
};

/** @throws ConfigError for anything else than the known options */
export function parseOptions(args: readonly string[], flavour: Flavour): HubOptions {
  let options: HubOptions = { version: false };
  for (let at = 0; at < args.length; at += 1) {
    const [flag = "", attached] = (args[at] ?? "").split(/=(.*)/s);
    if (flag === "--version" || flag === "-V") options = { ...options, version: true };
    else {
      const name = Object.hasOwn(FLAGS, flag) ? FLAGS[flag] : undefined;
      if (name === undefined || (name === "grpcAddress" && flavour !== "devkit")) {
        throw new ConfigError(`unknown option ${JSON.stringify(args[at])}\n${USAGE}`);
      }
      const value = attached ?? args[(at += 1)];
      if (value === undefined || value === "") throw new ConfigError(`${flag} needs a value\n${USAGE}`);
      options = { ...options, [name]: value };
    }
  }
  return options;
}
