import { parse as parseToml } from "smol-toml";

import { type AgentError, invalidArgument } from "./error.ts";
import type { LogLevel } from "./log.ts";
import { UNSEAL_FAILURES, type UnsealFailure } from "./unseal/unsealing.ts";

/** How many of the guest components the agent starts; each level includes those before it (section 6). */
export const COMPONENT_LEVELS = ["none", "attestation-agent", "confidential-data-hub", "api-server-rest"] as const;
export type ComponentLevel = (typeof COMPONENT_LEVELS)[number];

/** What of the components the pod's containers reach by HTTP. */
export const REST_APIS = ["resource", "attestation", "all"] as const;
export type RestApi = (typeof REST_APIS)[number];

/** The agent's settings. Times are milliseconds. Defaults are upstream's (section 2.3). */
export interface AgentConfig {
  /** Least severe level that is logged. Default info; devmode makes it debug unless a level is given. */
  logLevel: LogLevel;
  /** Development mode: more logging. Default false. */
  devMode: boolean;
  /** Where ttRPC is served. Default `vsock://-1:1024`. */
  serverAddr: string;
  /** Port on which the log is offered; 0 writes it to standard output. Default 0. */
  logVport: number;
  /** A shell for whoever connects, in the devkit flavour. Default false. */
  debugConsole: boolean;
  /** Port of the debug console; 0 is the guest's own console. Default 0. */
  debugConsoleVport: number;
  /** Time for a device that is being plugged in to appear. Default 3 s. */
  hotplugTimeoutMs: number;
  /** Time for a pull in the guest. Default 1200 s; the caller's own deadline usually ends it earlier. */
  imagePullTimeoutMs: number;
  /** Time for a component to open its socket. Default 6 s. */
  launchProcessTimeoutMs: number;
  /** Default `api-server-rest`, which means all. */
  guestComponentsProcs: ComponentLevel;
  /** Default `resource`. */
  guestComponentsRestApi: RestApi;
  /** Absolute path of the OCI runtime; empty takes one that is there. TOML only. */
  ociRuntime: string;
  /** The policy in force until SetPolicy; only a TOML file or the environment may name another. */
  policyFile: string;
  /** What becomes of a container whose sealed secrets cannot be opened. Default `refuse`. TOML only. */
  unsealFailure: UnsealFailure;
}

/** The policy that the image carries (section 4). */
export const DEFAULT_POLICY_FILE = "/etc/kata-opa/default-policy.rego";

export function defaultConfig(): AgentConfig {
  return {
    logLevel: "info",
    devMode: false,
    serverAddr: "vsock://-1:1024",
    logVport: 0,
    debugConsole: false,
    debugConsoleVport: 0,
    hotplugTimeoutMs: 3_000,
    imagePullTimeoutMs: 1_200_000,
    launchProcessTimeoutMs: 6_000,
    guestComponentsProcs: "api-server-rest",
    guestComponentsRestApi: "resource",
    ociRuntime: "",
    policyFile: DEFAULT_POLICY_FILE,
    unsealFailure: "refuse",
  };
}

const RUNC: readonly string[] = ["/usr/sbin/runc", "/usr/bin/runc"];
const CRUN: readonly string[] = ["/usr/bin/crun"];

/**
 * The runtime to use, in Debian's places: crun where control groups are of version 2 alone, else runc, because crun takes
 * no mix of versions. Throws AgentError when there is none.
 */
export function runtimeBinary(config: AgentConfig, cgroupVersion: 1 | 2, exists: (path: string) => boolean): string {
  if (config.ociRuntime !== "") return config.ociRuntime;
  const found = (cgroupVersion === 2 ? [...CRUN, ...RUNC] : [...RUNC, ...CRUN]).find(exists);
  if (found === undefined) throw configError("OCI runtime: expected one", undefined);
  return found;
}

/** One `key` or `key=value` of the kernel command line. */
export interface KernelParameter {
  readonly key: string;
  readonly value?: string | undefined;
}

const LEVEL_NAMES: Readonly<Record<string, LogLevel>> = {
  fatal: "critical",
  panic: "critical",
  critical: "critical",
  error: "error",
  warn: "warning",
  warning: "warning",
  info: "info",
  debug: "debug",
  trace: "trace",
};

/** A level by any of upstream's names. Throws AgentError on another. */
export function parseLogLevel(text: string): LogLevel {
  const level = Object.hasOwn(LEVEL_NAMES, text) ? LEVEL_NAMES[text] : undefined;
  if (level === undefined) throw configError(`log level: expected one of ${Object.keys(LEVEL_NAMES).join(", ")}`, text);
  return level;
}

/** `true`, `false` or an integer; anything else is false (section 2.3). A bare flag, with no value, is true. */
export function parseBool(text: string | undefined): boolean {
  if (text === undefined) return true;
  if (text === "true") return true;
  return /^[+-]?[0-9]{1,19}$/.test(text) && BigInt(text.replace(/^\+/, "")) !== 0n;
}

/**
 * A count or a time from the command line. Undefined where upstream ignores the value: zero and below. Throws
 * AgentError on anything that is not a decimal integer of at most 31 bits, as upstream ends its start there.
 */
export function parsePositive(name: string, text: string | undefined): number | undefined {
  if (text === undefined || !/^[+-]?[0-9]{1,19}$/.test(text)) throw configError(`${name}: expected an integer`, text);
  const value = BigInt(text.replace(/^\+/, ""));
  if (value <= 0n) return undefined;
  if (value > 0x7fff_ffffn) throw configError(`${name}: expected at most 2147483647`, text);
  return Number(value);
}

export function parseComponentLevel(text: string): ComponentLevel {
  const level = COMPONENT_LEVELS.find((name) => name === text);
  if (level === undefined) throw configError(`guest components: expected one of ${COMPONENT_LEVELS.join(", ")}`, text);
  return level;
}

export function parseRestApi(text: string): RestApi {
  const api = REST_APIS.find((name) => name === text);
  if (api === undefined) throw configError(`REST API: expected one of ${REST_APIS.join(", ")}`, text);
  return api;
}

function parseUnsealFailure(text: string): UnsealFailure {
  const known = UNSEAL_FAILURES.find((one) => one === text);
  if (known === undefined) throw configError(`unseal failure: expected one of ${UNSEAL_FAILURES.join(", ")}`, text);
  return known;
}

/** `agent.config_file` of a command line, if any; the last one counts. */
export function configFileParameter(parameters: readonly KernelParameter[]): string | undefined {
  return parameters.findLast(({ key, value }) => key === "agent.config_file" && value !== undefined)?.value;
}

/** Settings from the kernel command line. Keys that are not ours are passed over. Throws AgentError. */
export function applyKernelParameters(base: AgentConfig, parameters: readonly KernelParameter[]): AgentConfig {
  const config = { ...base };
  let levelGiven = false;
  const seconds = (name: string, value: string | undefined, old: number): number => {
    const parsed = parsePositive(name, value);
    return parsed === undefined ? old : parsed * 1000;
  };
  for (const { key, value } of parameters) {
    switch (key) {
      case "agent.log":
        config.logLevel = parseLogLevel(required(key, value));
        levelGiven = true;
        break;
      case "agent.devmode":
        config.devMode = parseBool(value);
        break;
      case "agent.server_addr":
        config.serverAddr = required(key, value);
        break;
      case "agent.log_vport":
        config.logVport = parsePositive(key, value) ?? config.logVport;
        break;
      case "agent.debug_console":
        config.debugConsole = parseBool(value);
        break;
      case "agent.debug_console_vport":
        config.debugConsoleVport = parsePositive(key, value) ?? config.debugConsoleVport;
        break;
      case "agent.hotplug_timeout":
        config.hotplugTimeoutMs = seconds(key, value, config.hotplugTimeoutMs);
        break;
      case "agent.image_pull_timeout":
        config.imagePullTimeoutMs = seconds(key, value, config.imagePullTimeoutMs);
        break;
      case "agent.launch_process_timeout":
        config.launchProcessTimeoutMs = seconds(key, value, config.launchProcessTimeoutMs);
        break;
      case "agent.guest_components_procs":
        config.guestComponentsProcs = parseComponentLevel(required(key, value));
        break;
      case "agent.guest_components_rest_api":
        config.guestComponentsRestApi = parseRestApi(required(key, value));
        break;
      default:
        break;
    }
  }
  if (config.devMode && !levelGiven) config.logLevel = "debug";
  return config;
}

/** The result of reading a TOML file: upstream's format allows keys that we do not know, so they are only reported. */
export interface TomlConfig {
  readonly config: AgentConfig;
  readonly unknownKeys: readonly string[];
}

/** Settings from a TOML file with upstream's field names; durations are tables `{secs, nanos}`. Throws AgentError. */
export function applyToml(base: AgentConfig, text: string): TomlConfig {
  let document: Record<string, unknown>;
  try {
    document = parseToml(text);
  } catch (cause) {
    throw invalidArgument("configuration file: not TOML", cause);
  }
  const config = { ...base };
  const unknownKeys: string[] = [];
  let levelGiven = false;
  for (const [key, value] of Object.entries(document)) {
    switch (key) {
      case "log_level":
        config.logLevel = parseLogLevel(textValue(key, value));
        levelGiven = true;
        break;
      case "dev_mode":
        config.devMode = bool(key, value);
        break;
      case "server_addr":
        config.serverAddr = textValue(key, value);
        break;
      case "log_vport":
        config.logVport = integer(key, value, 0xffff_ffff);
        break;
      case "debug_console":
        config.debugConsole = bool(key, value);
        break;
      case "debug_console_vport":
        config.debugConsoleVport = integer(key, value, 0xffff_ffff);
        break;
      case "hotplug_timeout":
        config.hotplugTimeoutMs = duration(key, value);
        break;
      case "image_pull_timeout":
        config.imagePullTimeoutMs = duration(key, value);
        break;
      case "launch_process_timeout":
        config.launchProcessTimeoutMs = duration(key, value);
        break;
      case "guest_components_procs":
        config.guestComponentsProcs = parseComponentLevel(textValue(key, value));
        break;
      case "guest_components_rest_api":
        config.guestComponentsRestApi = parseRestApi(textValue(key, value));
        break;
      case "oci_runtime":
        config.ociRuntime = absolutePath(key, textValue(key, value));
        break;
      case "policy_file":
        config.policyFile = textValue(key, value);
        break;
      case "unseal_failure":
        config.unsealFailure = parseUnsealFailure(textValue(key, value));
        break;
      default:
        unknownKeys.push(key);
    }
  }
  if (config.devMode && !levelGiven) config.logLevel = "debug";
  return { config, unknownKeys };
}

/** Settings from the environment: address, level and policy file. Throws AgentError. */
export function applyEnvironment(base: AgentConfig, env: Readonly<Record<string, string | undefined>>): AgentConfig {
  const config = { ...base };
  const addr = env["KATA_AGENT_SERVER_ADDR"];
  const level = env["KATA_AGENT_LOG_LEVEL"];
  const policy = env["KATA_AGENT_POLICY_FILE"];
  if (addr !== undefined) config.serverAddr = addr;
  if (level !== undefined) config.logLevel = parseLogLevel(level);
  if (policy !== undefined) config.policyFile = policy;
  return config;
}

/** Where the settings come from; reading them is the caller's. */
export interface ConfigSources {
  /** `--config FILE` of our own command line. */
  readonly file?: string | undefined;
  readonly kernelParameters: readonly KernelParameter[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The kernel makes environment out of unknown parameters of PID 1, so there the environment is the host's word. */
  readonly trustEnvironment: boolean;
  readFile(path: string): string;
}

/**
 * The settings in upstream's order of precedence (section 2.3): `--config FILE` with the environment on top, else
 * `agent.config_file=` alone, else the command line with the environment on top. Throws AgentError.
 */
export function loadConfig(sources: ConfigSources): TomlConfig {
  const env = sources.trustEnvironment ? sources.env : {};
  const fromFile = (path: string): TomlConfig => applyToml(defaultConfig(), sources.readFile(path));
  if (sources.file !== undefined) {
    const { config, unknownKeys } = fromFile(sources.file);
    return { config: applyEnvironment(config, env), unknownKeys };
  }
  const file = configFileParameter(sources.kernelParameters);
  if (file !== undefined) return fromFile(file);
  return {
    config: applyEnvironment(applyKernelParameters(defaultConfig(), sources.kernelParameters), env),
    unknownKeys: [],
  };
}

function required(key: string, value: string | undefined): string {
  if (value === undefined || value === "") throw configError(`${key}: expected a value`, value);
  return value;
}

function absolutePath(key: string, path: string): string {
  if (!path.startsWith("/")) throw configError(`${key}: expected an absolute path`, path);
  return path;
}

function textValue(key: string, value: unknown): string {
  if (typeof value !== "string") throw configError(`${key}: expected a string`, typeof value);
  return value;
}

function bool(key: string, value: unknown): boolean {
  if (typeof value !== "boolean") throw configError(`${key}: expected true or false`, typeof value);
  return value;
}

function integer(key: string, value: unknown, max: number): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0 || value > max) {
    throw configError(`${key}: expected an integer between 0 and ${max}`, String(value));
  }
  return value;
}

function duration(key: string, value: unknown): number {
  if (typeof value !== "object" || value === null) {
    throw configError(`${key}: expected a table {secs, nanos}`, typeof value);
  }
  const table: Record<string, unknown> = { ...value };
  const secs = integer(`${key}.secs`, table["secs"], 0x7fff_ffff);
  const nanos = integer(`${key}.nanos`, table["nanos"], 999_999_999);
  return secs * 1000 + Math.ceil(nanos / 1_000_000);
}

function configError(what: string, got: string | undefined): AgentError {
  return invalidArgument(`${what}, got ${got === undefined ? "nothing" : JSON.stringify(got)}`);
}
