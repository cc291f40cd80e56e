import { readFileSync } from "node:fs";
import { extname } from "node:path";

import type { KernelCommandLine } from "@nacre/protocols";

import { configFromParams, parseConfig, type ParsedConfig } from "./config.ts";
import { AgentError } from "./error.ts";
import type { Flavour } from "./flavour.ts";

export interface ConfigSources {
  /** `-c`. */
  readonly file: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly kernel: Pick<KernelCommandLine, "last">;
  readonly flavour: Flavour;
}

/**
 * The file; without one, `AA_KBC_PARAMS` of the environment, else the kernel's `agent.aa_kbc_params`. The strict flavour
 * takes no broker from the command line, which is the host's word. Throws AgentError `config` with upstream's sentences.
 */
export async function loadConfig({ file, env, kernel, flavour }: ConfigSources): Promise<ParsedConfig> {
  if (file !== undefined) return parseConfig(await readTree(file));
  const params = env["AA_KBC_PARAMS"] ?? (flavour === "strict" ? undefined : kernel.last("agent.aa_kbc_params"));
  return { config: configFromParams(params), unknownKeys: [] };
}

/** The name's extension is the format's name. */
async function readTree(file: string): Promise<unknown> {
  const format = extname(file);
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw new AgentError("config", `read ${file}`, { cause });
    throw new AgentError("config", `configuration file ${JSON.stringify(file)} not found`);
  }
  try {
    if (format === ".json") return JSON.parse(text);
    if (format === ".toml") {
      const { parse } = await import("smol-toml");
      return parse(text);
    }
  } catch {
    // The parser's message shows the text around the place.
    throw new AgentError(
      "config",
      `configuration file ${JSON.stringify(file)} is not ${format.slice(1).toUpperCase()}`,
    );
  }
  throw new AgentError("config", `configuration file ${JSON.stringify(file)} is not of a supported file format`);
}
