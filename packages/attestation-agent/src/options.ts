import { AgentError } from "./error.ts";
import type { Flavour } from "./flavour.ts";

export const DEFAULT_SOCKET = "unix:///run/confidential-containers/attestation-agent/attestation-agent.sock";

/** What the command line asks for. */
export interface AgentOptions {
  readonly version: boolean;
  /** `-a`, `--attestation_sock`: where ttRPC and gRPC are spoken. */
  readonly socket: string;
  /** `-c`, `--config-file`. */
  readonly config?: string;
  /** `-i`, `--initdata-digest`: standard base64. */
  readonly initdataDigest?: string;
  /** `-t`, `--initdata-toml`: a path; it counts before the digest. */
  readonly initdataToml?: string;
  /** `--grpc-address HOST:PORT`, devkit only: containers share the guest's loopback. */
  readonly grpcAddress?: string;
}

export const USAGE =
  "usage: attestation-agent [-a unix://SOCKET] [-c FILE] [-i DIGEST] [-t FILE] [--grpc-address HOST:PORT] [--version]";

const FLAGS: Readonly<Record<string, Exclude<keyof AgentOptions, "version">>> = {
  "-a": "socket",
  "--attestation_sock": "socket",
  "-c": "config",
  "--config-file": "config",
  "-i": "initdataDigest",
  "--initdata-digest": "initdataDigest",
  "-t": "initdataToml",
  "--initdata-toml": "initdataToml",
  "--grpc-address": "grpcAddress",
};

/** Throws AgentError `config` for anything but the known options. */
export function parseOptions(args: readonly string[], flavour: Flavour): AgentOptions {
  const options: { -readonly [K in keyof AgentOptions]: AgentOptions[K] } = { version: false, socket: DEFAULT_SOCKET };
  for (let at = 0; at < args.length; at += 1) {
    const [flag = "", attached] = (args[at] ?? "").split(/=(.*)/su);
    if (flag === "--version" || flag === "-V") {
      options.version = true;
      continue;
    }
    const name = Object.hasOwn(FLAGS, flag) ? FLAGS[flag] : undefined;
    if (name === undefined || (name === "grpcAddress" && flavour !== "devkit")) {
      throw new AgentError("config", `unexpected argument ${JSON.stringify(args[at])}\n${USAGE}`);
    }
    const value = attached ?? args[(at += 1)];
    if (value === undefined || value === "") throw new AgentError("config", `${flag}: expected a value\n${USAGE}`);
    options[name] = value;
  }
  if (!options.version && !options.socket.startsWith("unix://")) {
    throw new AgentError("config", "clean previous attestation socket file", {
      cause: new Error("socket address scheme is not expected"),
    });
  }
  return options;
}
