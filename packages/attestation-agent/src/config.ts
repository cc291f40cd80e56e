import { LOG_LEVELS, type LogLevel } from "@nacre/protocols";
import { TEE_KEY_ALGORITHMS, type TeeKeyAlgorithm } from "@nacre/kbs-protocol";

import { AgentError } from "./error.ts";

/** `[token_configs.kbs]`. */
export interface KbsConfig {
  readonly url: string;
  /** PEM of one or more authorities. Default: none but the platform's. */
  readonly cert?: string;
  readonly teeKeyAlgorithm: TeeKeyAlgorithm;
  /** Whether `cert` is all that counts (ours). Default: it adds to the platform's, as upstream. */
  readonly pinCert: boolean;
  /** Whether a token is kept until shortly before it expires (ours). Default: yes; upstream makes one a call. */
  readonly cacheToken: boolean;
}

export interface AgentConfig {
  readonly kbs?: KbsConfig;
  readonly cocoAs?: { readonly url: string };
  readonly eventLog: { readonly enabled: boolean; readonly initPcr: number };
  readonly logLevel: LogLevel;
}

/** What a configuration says, and the keys in it that nobody knows: upstream's format allows them. */
export interface ParsedConfig {
  readonly config: AgentConfig;
  readonly unknownKeys: readonly string[];
}

const DEFAULTS: AgentConfig = { eventLog: { enabled: false, initPcr: 17 }, logLevel: "info" };

/** Reads a configuration's tree. Throws AgentError `config` naming the key. */
export function parseConfig(root: unknown): ParsedConfig {
  const unknownKeys: string[] = [];
  const table = (path: string, value: unknown, known: readonly string[]): Readonly<Record<string, unknown>> => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw expected(path, "a table");
    const prefix = path === "configuration" ? "" : `${path}.`;
    unknownKeys.push(...Object.keys(value).flatMap((key) => (known.includes(key) ? [] : [`${prefix}${key}`])));
    return value as Record<string, unknown>;
  };
  const file = table("configuration", root, ["token_configs", "eventlog_config", "log"]);
  const tokens = table("token_configs", file["token_configs"] ?? {}, ["kbs", "coco_as"]);
  const log = table("log", file["log"] ?? {}, ["level"]);
  const eventLog = table("eventlog_config", file["eventlog_config"] ?? {}, ["init_pcr", "enable_eventlog"]);
  const kbs =
    tokens["kbs"] === undefined
      ? undefined
      : parseKbs(
          table("token_configs.kbs", tokens["kbs"], ["url", "cert", "tee_key_algorithm", "pin_cert", "cache_token"]),
        );
  const cocoAs =
    tokens["coco_as"] === undefined ? undefined : table("token_configs.coco_as", tokens["coco_as"], ["url"]);
  const config: AgentConfig = {
    ...(kbs === undefined ? {} : { kbs }),
    ...(cocoAs === undefined ? {} : { cocoAs: { url: url("token_configs.coco_as.url", cocoAs["url"]) } }),
    eventLog: {
      enabled: bool("eventlog_config.enable_eventlog", eventLog["enable_eventlog"], DEFAULTS.eventLog.enabled),
      initPcr: pcr("eventlog_config.init_pcr", eventLog["init_pcr"] ?? DEFAULTS.eventLog.initPcr),
    },
    logLevel: oneOf("log.level", log["level"], LOG_LEVELS, DEFAULTS.logLevel),
  };
  return { config, unknownKeys };
}

/**
 * The configuration where there is no file: the broker that `AA_KBC_PARAMS` or the kernel's `agent.aa_kbc_params` name,
 * `cc_kbc::URL`. Anything else means that there is none. Throws AgentError `config`.
 */
export function configFromParams(params: string | undefined): AgentConfig {
  if (params === undefined) return DEFAULTS;
  const parts = params.split("::");
  const [name, address] = parts;
  if (parts.length !== 2 || address === undefined) throw expected("aa_kbc_params", "NAME::URL");
  if (name !== "cc_kbc") return DEFAULTS;
  return { ...DEFAULTS, kbs: parseKbs({ url: address }) };
}

function parseKbs(kbs: Readonly<Record<string, unknown>>): KbsConfig {
  const cert = kbs["cert"];
  if (cert !== undefined && typeof cert !== "string") throw expected("token_configs.kbs.cert", "PEM");
  return {
    url: url("token_configs.kbs.url", kbs["url"]),
    ...(cert === undefined ? {} : { cert }),
    teeKeyAlgorithm: oneOf(
      "token_configs.kbs.tee_key_algorithm",
      kbs["tee_key_algorithm"],
      TEE_KEY_ALGORITHMS,
      "ECDH-ES+A256KW-P256",
    ),
    pinCert: bool("token_configs.kbs.pin_cert", kbs["pin_cert"], false),
    cacheToken: bool("token_configs.kbs.cache_token", kbs["cache_token"], true),
  };
}

function url(key: string, value: unknown): string {
  const parsed = typeof value === "string" && URL.canParse(value) ? new URL(value) : undefined;
  if (parsed === undefined || !["http:", "https:"].includes(parsed.protocol))
    throw expected(key, "http://… or https://…");
  return value as string;
}

function bool(key: string, value: unknown, otherwise: boolean): boolean {
  if (value === undefined) return otherwise;
  if (typeof value !== "boolean") throw expected(key, "true or false");
  return value;
}

function pcr(key: string, value: unknown): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value > 23) throw expected(key, "0 to 23");
  return value;
}

function oneOf<T extends string>(key: string, value: unknown, known: readonly T[], otherwise: T): T {
  if (value === undefined) return otherwise;
  const found = known.find((name) => name === value);
  if (found === undefined) throw expected(key, `one of ${known.join(", ")}`);
  return found;
}

function expected(key: string, what: string): AgentError {
  return new AgentError("config", `${key}: expected ${what}`);
}
