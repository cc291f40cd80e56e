import { readFileSync } from "node:fs";

import { parseKernelCommandLine } from "@nacre/protocols";

import { NvrcError } from "./error.ts";
import { type Log, LOG_LEVELS, type LogLevel } from "./log.ts";

/** What the kernel command line may ask of init: seven keys (section 1.2). The host writes it, so nothing here opens a
 * door: each setting is of the GPU or of the log. */
export interface NvrcOptions {
  /** `nvrc.log`; undefined where it is not set. An unknown level is `off`. */
  readonly log: LogLevel | undefined;
  /** `nvrc.uvm.persistence.mode`, default true. */
  readonly uvmPersistenceMode: boolean;
  /** `nvrc.dcgm`, default false. */
  readonly dcgm: boolean;
  /** `nvrc.smi.srs`: the confidential ready state that is set last. */
  readonly readyState: string | undefined;
  /** `nvrc.smi.lgc`, MHz. */
  readonly graphicsClock: number | undefined;
  /** `nvrc.smi.lmc`, MHz. */
  readonly memoryClock: number | undefined;
  /** `nvrc.smi.pl`, watts. */
  readonly powerLimit: number | undefined;
  /** Values that were not understood and mean the safe default, for the log. */
  readonly warnings: readonly string[];
}

const MAX_U32 = 4_294_967_295;
const TRUE: ReadonlySet<string> = new Set(["on", "true", "1", "yes"]);
const FALSE: ReadonlySet<string> = new Set(["off", "false", "0", "no"]);

/** The options of this guest; the log obeys at once. */
export function readOptions(log: Log): NvrcOptions {
  const options = parseNvrcOptions(readFileSync("/proc/cmdline", "latin1"));
  if (options.log !== undefined) log.level = options.log;
  for (const warning of options.warnings) log.warn(warning);
  return options;
}

/** Parses /proc/cmdline. Throws `parameter` for a number that is none; that ends the guest. */
export function parseNvrcOptions(commandLine: string): NvrcOptions {
  const line = parseKernelCommandLine(commandLine);
  const warnings: string[] = [];
  // The last one counts, and a key without a value is none.
  const value = (key: string): string | undefined => line.values(key).findLast((text) => text !== undefined);
  const flag = (key: string, preset: boolean): boolean => {
    const text = value(key)?.toLowerCase();
    if (text === undefined) return preset;
    if (!TRUE.has(text) && !FALSE.has(text)) warnings.push(`${key}: expected on or off, got ${JSON.stringify(text)}`);
    return TRUE.has(text);
  };
  const number = (key: string): number | undefined => {
    const text = value(key);
    return text === undefined ? undefined : parseU32(key, text);
  };
  return {
    log: logLevel(value("nvrc.log")),
    uvmPersistenceMode: flag("nvrc.uvm.persistence.mode", true),
    dcgm: flag("nvrc.dcgm", false),
    readyState: readyState(value("nvrc.smi.srs")),
    graphicsClock: number("nvrc.smi.lgc"),
    memoryClock: number("nvrc.smi.lmc"),
    powerLimit: number("nvrc.smi.pl"),
    warnings,
  };
}

function logLevel(text: string | undefined): LogLevel | undefined {
  return text === undefined ? undefined : (LOG_LEVELS.find((level) => level === text.toLowerCase()) ?? "off");
}

/** Passed on as one argument after its option; only what could be read as another option is refused. */
function readyState(text: string | undefined): string | undefined {
  if (text === undefined || /^[A-Za-z0-9_][\x21-\x7e]{0,63}$/u.test(text)) return text;
  throw new NvrcError("parameter", `nvrc.smi.srs: expected a word, got ${JSON.stringify(text)}`);
}

function parseU32(key: string, text: string): number {
  const parsed = /^\+?[0-9]{1,20}$/u.test(text) ? Number(text) : Number.NaN;
  if (parsed <= MAX_U32) return parsed;
  throw new NvrcError("parameter", `${key}: expected a number of 32 bits, got ${JSON.stringify(text)}`);
}
