import { RestError } from "./error.ts";

/** What is offered to containers. */
export const FEATURES = ["resource", "attestation", "all"] as const;
export type Feature = (typeof FEATURES)[number];

export interface RestOptions {
  readonly version: boolean;
  /** `-b`: where HTTP is spoken. */
  readonly host: string;
  readonly port: number;
  /** `-f`. */
  readonly feature: Feature;
  /** `-c` and `-a`: the data hub and the attestation agent. */
  readonly hub: string;
  readonly agent: string;
}

export const USAGE =
  "usage: api-server-rest [-b HOST:PORT] [-f resource|attestation|all] [-c unix://SOCKET] [-a unix://SOCKET] [--version]";

const FLAGS: Readonly<Record<string, "agent" | "bind" | "features" | "hub">> = {
  "-b": "bind",
  "--bind": "bind",
  "-f": "features",
  "--features": "features",
  "-c": "hub",
  "--cdh_addr": "hub",
  "-a": "agent",
  "--aa_addr": "agent",
};

/** Throws RestError `usage` for anything but the known options. */
export function parseOptions(args: readonly string[]): RestOptions {
  let version = false;
  const given = {
    bind: "127.0.0.1:8006",
    features: "resource",
    hub: "unix:///run/confidential-containers/cdh.sock",
    agent: "unix:///run/confidential-containers/attestation-agent/attestation-agent.sock",
  };
  for (let at = 0; at < args.length; at += 1) {
    const [flag = "", attached] = (args[at] ?? "").split(/=(.*)/su);
    if (flag === "--version" || flag === "-V") {
      version = true;
      continue;
    }
    const name = Object.hasOwn(FLAGS, flag) ? FLAGS[flag] : undefined;
    if (name === undefined) throw usage(`unexpected argument ${JSON.stringify(args[at])}`);
    const value = attached ?? args[(at += 1)];
    if (value === undefined || value === "") throw usage(`${flag}: expected a value`);
    given[name] = value;
  }
  const feature = FEATURES.find((one) => one === given.features);
  // Whoever asks for the version alone need not say anything that makes sense.
  if (version) return { version, host: "", port: 0, feature: "resource", hub: given.hub, agent: given.agent };
  if (feature === undefined) throw usage(`--features: expected ${FEATURES.join(", ")}`);
  for (const name of ["hub", "agent"] as const) {
    if (!given[name].startsWith("unix://")) throw usage(`${given[name]}: expected unix://SOCKET`);
  }
  return { version, ...parseBind(given.bind), feature, hub: given.hub, agent: given.agent };
}

function parseBind(bind: string): { readonly host: string; readonly port: number } {
  const [, bracketed, plain, port = ""] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/u.exec(bind) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) > 65_535) throw usage("--bind: expected HOST:PORT");
  return { host, port: Number(port) };
}

function usage(problem: string): RestError {
  return new RestError("usage", `${problem}\n${USAGE}`);
}
