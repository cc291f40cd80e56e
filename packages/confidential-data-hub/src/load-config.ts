import { readFileSync } from "node:fs";

import { parseKernelCommandLine } from "@nacre/protocols";

import { configFromKernel, type HubConfig, kbcFromParams, parseConfig } from "./config.ts";
import { ConfigError } from "./error.ts";
import { mergeCredentials, parseKernelCredentials } from "./resource/credentials.ts";

/** Where the image's own configuration lies, inside the measured root. */
export const DEFAULT_CONFIG = "/etc/confidential-data-hub.conf";

type Environment = Readonly<Record<string, string | undefined>>;

export interface ConfigSources {
  /** `-c` */
  readonly option: string | undefined;
  readonly env: Environment;
  /** Default: `DEFAULT_CONFIG`. */
  readonly defaultPath?: string;
  /** Default: `/proc/cmdline`. */
  readonly kernelCommandLine?: string;
}

/**
 * The configuration: of the option, the environment's `CDH_CONFIG_PATH`, the image's own file, or, when there is none of
 * them, the kernel command line. A file that was named must be there. The environment, which is that of whoever started
 * the daemon in the guest, counts before all; `cdh.kbs_resources` of the kernel adds to it.
 *
 * @throws ConfigError
 */
export async function loadConfig(sources: ConfigSources): Promise<HubConfig> {
  const named = sources.option ?? sources.env["CDH_CONFIG_PATH"];
  const path = named ?? sources.defaultPath ?? DEFAULT_CONFIG;
  const content = read(path, named !== undefined);
  const commandLine = read(sources.kernelCommandLine ?? "/proc/cmdline", true) ?? "";
  const config = content === undefined ? configFromKernel(commandLine) : parseConfig(await parse(path, content));
  const more = parseKernelCommandLine(commandLine).last("cdh.kbs_resources");
  return withEnvironment(
    {
      ...config,
      credentials: mergeCredentials(config.credentials, more === undefined ? [] : parseKernelCredentials(more)),
    },
    sources.env,
  );
}

function withEnvironment(config: HubConfig, env: Environment): HubConfig {
  const credentialsUri = env["CDH_DEFAULT_IMAGE_AUTHENTICATED_REGISTRY_CREDENTIALS"];
  const params = env["AA_KBC_PARAMS"];
  const cert = env["KBS_CERT"] ?? config.kbc?.cert;
  const kbc = params === undefined ? config.kbc : kbcFromParams("AA_KBC_PARAMS", params, cert);
  return {
    ...config,
    ...(kbc === undefined ? {} : { kbc: cert === undefined ? kbc : { ...kbc, cert } }),
    agentSocket: env["AA_SOCKET"] ?? config.agentSocket,
    skipSecretVerification: config.skipSecretVerification || env["SKIP_SEALED_SECRET_VERIFICATION"] === "true",
    image: credentialsUri === undefined ? config.image : { ...config.image, credentialsUri },
  };
}

/** @throws ConfigError when the file is neither TOML nor, by its name, JSON. */
async function parse(path: string, content: string): Promise<unknown> {
  if (!path.endsWith(".json")) return await parseToml(path, content);
  try {
    return JSON.parse(content) as unknown;
  } catch (cause) {
    throw new ConfigError(`${path} is not JSON`, { cause });
  }
}

/** @throws ConfigError when the file is not TOML. */
export async function parseToml(path: string, content: string): Promise<unknown> {
  // Loaded only where there is a file.
  const { parse: parseText } = await import("smol-toml");
  try {
    return parseText(content);
  } catch (error) {
    throw new ConfigError(`${path} is not TOML`, { cause: error });
  }
}

function read(path: string, required: boolean): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
    if (missing && !required) return undefined;
    throw new ConfigError(`failed to read ${path}`, { cause: error });
  }
}
