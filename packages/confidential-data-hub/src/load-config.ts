import { readFileSync } from "node:fs";
import { configFromKernel, type HubConfig, parseConfig } from "./config.ts";
import { ConfigError } from "./error.ts";

/** Where the image's own configuration lies, inside the measured root. */
export const DEFAULT_CONFIG = "/etc/confidential-data-hub.conf";

export interface ConfigSources {
  /** `-c` */
  readonly option: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Default: `DEFAULT_CONFIG`. */
  readonly defaultPath?: string;
  /** Default: `/proc/cmdline`. */
  readonly kernelCommandLine?: string;
}

/**
 * The configuration: of the option, the environment's `CDH_CONFIG_PATH`, the image's own file, or, when there is none of
 * them, the kernel command line. A file that was named must be there.
 *
 * @throws ConfigError
 */
export async function loadConfig(sources: ConfigSources): Promise<HubConfig> {
  const named = sources.option ?? sources.env["CDH_CONFIG_PATH"];
  const path = named ?? sources.defaultPath ?? DEFAULT_CONFIG;
  const content = read(path, named !== undefined);
  const config =
    content === undefined
      ? configFromKernel(read(sources.kernelCommandLine ?? "/proc/cmdline", true) ?? "")
      : parseConfig(await parseToml(path, content));
  const override = sources.env["CDH_DEFAULT_IMAGE_AUTHENTICATED_REGISTRY_CREDENTIALS"];
  return override === undefined ? config : { ...config, image: { ...config.image, credentialsUri: override } };
}

/** @throws ConfigError when the file is not TOML. */
export async function parseToml(path: string, content: string): Promise<unknown> {
  // Loaded only where there is a file.
  const { parse } = await import("smol-toml");
  try {
    return parse(content);
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
