import { parse } from "smol-toml";

import { NacreError } from "../error.ts";
import { type Handler, handlerName } from "./handler.ts";
import { tomlValue } from "./runtime-config.ts";

/** Where containerd looks for its configuration, and from 2.2 on also for parts of it. */
export const CONTAINERD_CONFIG = "/etc/containerd/config.toml";
export const CONTAINERD_DROP_INS = "/etc/containerd/conf.d";

/** The program, of Debian's package or of a release. */
export const CONTAINERD: readonly string[] = ["/usr/bin/containerd", "/usr/local/bin/containerd"];

/** What matters of containerd and its configuration file. */
export interface ContainerdSetup {
  /** The major version of the program: 1 or 2. */
  readonly major: number;
  /** `version` in the configuration file. */
  readonly schema: number;
  /** Whether it reads the folder of drop-ins. */
  readonly imports: boolean;
}

/** Reads a configuration file; undefined text: there is none. Throws NacreError `input`. */
export function containerdSetup(config: string | undefined, version: ContainerdVersion): ContainerdSetup {
  const { major, minor } = version;
  // From 2.2 on the folder is among the defaults, where the file names no imports of its own.
  const byDefault = major > 2 || (major === 2 && minor >= 2);
  if (config === undefined) return { major, schema: major === 1 ? 2 : 3, imports: byDefault };
  let root: Record<string, unknown>;
  try {
    root = parse(config);
  } catch (cause) {
    throw new NacreError("input", `${CONTAINERD_CONFIG} does not parse`, { cause });
  }
  const schema = root["version"] ?? 1;
  if (typeof schema !== "number" || schema < 2) {
    throw new NacreError("input", `${CONTAINERD_CONFIG}: expected version 2 or later, got ${JSON.stringify(schema)}`);
  }
  const imports = root["imports"];
  const named = Array.isArray(imports) && imports.some((path) => String(path).startsWith(`${CONTAINERD_DROP_INS}/`));
  return { major, schema, imports: imports === undefined ? byDefault : named };
}

export interface ContainerdVersion {
  readonly major: number;
  readonly minor: number;
}

/** Reads what `containerd --version` prints, or `2.1`. Throws NacreError `input`. */
export function parseContainerdVersion(text: string): ContainerdVersion {
  const [, major, minor] = /(?:^|\s)v?(\d{1,3})\.(\d{1,3})(?:[.~+\s-]|$)/u.exec(text) ?? [];
  if (major === undefined || minor === undefined || Number(major) < 1) {
    throw new NacreError("input", `containerd's version: expected one like 2.1, got ${JSON.stringify(text.trim())}`);
  }
  return { major: Number(major), minor: Number(minor) };
}

/** The tables that make containerd know a handler. */
export function handlerTables(handler: Handler, setup: ContainerdSetup, config: string, shim: string): string {
  const plugin = setup.schema === 2 ? "io.containerd.grpc.v1.cri" : "io.containerd.cri.v1.runtime";
  const name = handlerName(handler);
  const table = `plugins.${tomlValue(plugin)}.containerd.runtimes.${name}`;
  const settings = {
    runtime_type: `io.containerd.${name}.v2`,
    runtime_path: shim,
    privileged_without_host_devices: true,
    pod_annotations: ["io.katacontainers.*"],
    container_annotations: ["io.kubernetes.container.terminationMessage*"],
  };
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${tomlValue(value)}`);
  return `[${table}]\n${lines.join("\n")}\n\n[${table}.options]\nConfigPath = ${tomlValue(config)}\n`;
}

/** A drop-in of its own, for containerd 2: containerd 1 would put it in the place of its whole CRI section. */
export function dropInText(tables: string, setup: ContainerdSetup): string {
  const head = "# Written by `nacre kata install`, which writes it anew; `nacre kata uninstall` takes it away.";
  // A drop-in of a later version than the file's is not read.
  return `${head}\nversion = ${Math.min(setup.schema, 3)}\n\n${tables}`;
}
