import { LOG_LEVELS, type LogLevel, parseKernelCommandLine } from "@nacre/protocols";
import type { ProxySettings } from "@nacre/image-puller";
import { parseRegistryConfig, type RegistryConfig } from "oci-client";
import { ConfigError } from "./error.ts";
import { type Credential, mergeCredentials, parseCredentials } from "./resource/credentials.ts";

/** Where clients expect the hub (guest-components, section "socket" of its example configuration). */
export const DEFAULT_SOCKET = "unix:///run/confidential-containers/cdh.sock";
/** Where the agent lets the attestation agent listen. */
export const DEFAULT_AGENT_SOCKET = "unix:///run/confidential-containers/attestation-agent/attestation-agent.sock";
/** The directory that the agent mounts trusted storage on. */
export const DEFAULT_WORK_DIR = "/run/kata-containers/image/";

/** A document of its own: in the configuration, or at a `file://` or `kbs://` URI or an absolute path. */
export type SettingSource = { readonly text: string } | { readonly uri: string };

export interface ImageSettings {
  readonly workDir: string;
  readonly concurrentDownloads: number;
  /** The inline configuration; it counts before the one at `registriesUri`. */
  readonly registries?: RegistryConfig;
  /** `file://` URI of a registries configuration in TOML. */
  readonly registriesUri?: string;
  /** `file://` URI of an auth.json. */
  readonly credentialsUri?: string;
  /** Which images may run, by whose signature. Without it every image may. */
  readonly securityPolicy?: SettingSource;
  /** Where GPG's signatures lie. */
  readonly sigstoreConfig?: SettingSource;
  /** PEM, added to the platform's roots. */
  readonly extraRoots: readonly string[];
  readonly proxy?: ProxySettings;
}

/** `[kbc]`: where resources come from. */
export interface KbcSettings {
  readonly name: "cc_kbc" | "offline_fs_kbc";
  readonly url?: string;
  /** PEM of authorities that count for the broker beside the platform's. */
  readonly cert?: string;
}

export interface HubConfig {
  readonly socket: string;
  /** Of the attestation agent. */
  readonly agentSocket: string;
  readonly kbc?: KbcSettings;
  readonly logLevel: LogLevel;
  /** Resources that are in files before anybody is served. */
  readonly credentials: readonly Credential[];
  /** Whether sealed secrets are taken whoever signed them. */
  readonly skipSecretVerification: boolean;
  readonly image: ImageSettings;
}

type Table = Readonly<Record<string, unknown>>;

/**
 * Checks a parsed configuration file. Unknown keys are refused, as are settings that this daemon would have to ignore.
 *
 * @throws ConfigError naming the key
 */
export function parseConfig(root: unknown): HubConfig {
  const file = table("configuration", root, [
    "socket",
    "log",
    "image",
    "aa",
    "kbc",
    "credentials",
    "skip_sealed_secret_verification",
  ]);
  const skip = file["skip_sealed_secret_verification"] ?? false;
  if (typeof skip !== "boolean") throw new ConfigError("skip_sealed_secret_verification is not true or false");
  const log = table("[log]", file["log"] ?? {}, ["level"]);
  const level = text("log.level", log["level"]) ?? "info";
  if (!(LOG_LEVELS as readonly string[]).includes(level)) {
    throw new ConfigError(`log.level is ${JSON.stringify(level)}, expected one of ${LOG_LEVELS.join(", ")}`);
  }
  const agent = table("[aa]", file["aa"] ?? {}, ["aa_socket"]);
  return {
    socket: text("socket", file["socket"]) ?? DEFAULT_SOCKET,
    agentSocket: text("aa.aa_socket", agent["aa_socket"]) ?? DEFAULT_AGENT_SOCKET,
    ...(file["kbc"] === undefined ? {} : { kbc: parseKbc(file["kbc"]) }),
    logLevel: level as LogLevel,
    credentials: mergeCredentials(parseCredentials(file["credentials"] ?? []), []),
    skipSecretVerification: skip,
    image: parseImage(file["image"] ?? {}),
  };
}

/**
 * The configuration when there is no file: image settings and the broker, `NAME::URL`, from the kernel command line.
 *
 * @throws ConfigError when it asks for what this hub cannot do
 */
export function configFromKernel(commandLine: string): HubConfig {
  const kernel = parseKernelCommandLine(commandLine);
  // Switches of the command line may only tighten: without the first one the second one is no policy, as upstream has it.
  const verify = kernel.last("agent.enable_signature_verification") === "true";
  const policyFile = verify ? kernel.last("agent.image_policy_file") : undefined;
  if (verify && policyFile === undefined) {
    throw new ConfigError("agent.enable_signature_verification=true: expected agent.image_policy_file, too");
  }
  const credentials = kernel.last("agent.image_registry_auth");
  const proxy = ["https_proxy", "http_proxy", "no_proxy"].map((key) => [key, kernel.last(`agent.${key}`)] as const);
  const given = proxy.filter(([, value]) => value !== undefined && value !== "");
  const params = kernel.last("agent.aa_kbc_params");
  const config = parseConfig({
    image: {
      ...(credentials === undefined ? {} : { authenticated_registry_credentials_uri: credentials }),
      ...(policyFile === undefined ? {} : { image_security_policy_uri: policyFile }),
      ...(given.length === 0 ? {} : { image_pull_proxy: Object.fromEntries(given) }),
    },
  });
  if (params === undefined) return config;
  return { ...config, kbc: kbcFromParams("agent.aa_kbc_params", params, undefined) };
}

/** `[kbc]` in a text, `NAME::URL`, as the kernel parameter and the environment have it. @throws ConfigError */
export function kbcFromParams(what: string, params: string, cert: string | undefined): KbcSettings {
  const [name, url, ...more] = params.split("::");
  if (url === undefined || more.length > 0) throw new ConfigError(`${what} is not NAME::URL`);
  return parseKbc({ name, url, ...(cert === undefined ? {} : { kbs_cert: cert }) });
}

/** The path of a `file://` URI or a bare absolute path. @throws ConfigError for any other scheme. */
export function filePath(key: string, uri: string): string {
  const path = uri.startsWith("file://") ? uri.slice("file://".length) : uri;
  if (!path.startsWith("/")) {
    throw new ConfigError(`${key} is ${JSON.stringify(uri)}: expected file:///PATH, this hub does not fetch resources`);
  }
  return path;
}

/** The URI counts before the text, as upstream's does. @throws ConfigError */
function settingSource(image: Table, key: string): SettingSource | undefined {
  const uri = text(`image.${key}_uri`, image[`${key}_uri`]);
  const inline = text(`image.${key}`, image[key]);
  if (uri === undefined) return inline === undefined ? undefined : { text: inline };
  if (!/^(?:file:\/\/)?\/|^kbs:\/\/\//u.test(uri)) {
    throw new ConfigError(`image.${key}_uri is ${JSON.stringify(uri)}: expected file:///PATH or kbs:///…`);
  }
  return { uri };
}

function parseKbc(value: unknown): KbcSettings {
  const kbc = table("[kbc]", value, ["name", "url", "kbs_cert"]);
  const name = text("kbc.name", kbc["name"]);
  if (name !== "cc_kbc" && name !== "offline_fs_kbc") {
    throw new ConfigError(`kbc.name is ${JSON.stringify(name)}, expected cc_kbc or offline_fs_kbc`);
  }
  // Upstream's default is an empty one.
  const url = kbc["url"] === "" ? undefined : text("kbc.url", kbc["url"]);
  if (url !== undefined && !(URL.canParse(url) && /^https?:$/u.test(new URL(url).protocol))) {
    throw new ConfigError("kbc.url is not a URL http://… or https://…");
  }
  const cert = kbc["kbs_cert"] === "" ? undefined : text("kbc.kbs_cert", kbc["kbs_cert"]);
  return { name, ...(url === undefined ? {} : { url }), ...(cert === undefined ? {} : { cert }) };
}

function parseImage(value: unknown): ImageSettings {
  const image = table("[image]", value, [
    "max_concurrent_layer_downloads_per_image",
    "authenticated_registry_credentials_uri",
    "registry_configuration_uri",
    "registry_config",
    "extra_root_certificates",
    "image_pull_proxy",
    "work_dir",
    "image_security_policy",
    "image_security_policy_uri",
    "sigstore_config",
    "sigstore_config_uri",
  ]);
  const securityPolicy = settingSource(image, "image_security_policy");
  const sigstoreConfig = settingSource(image, "sigstore_config");
  const downloads = image["max_concurrent_layer_downloads_per_image"] ?? 3;
  // Zero would wait for ever; more than a few dozen connections to one registry is refused by most.
  if (typeof downloads !== "number" || !Number.isInteger(downloads) || downloads < 1 || downloads > 64) {
    throw new ConfigError("image.max_concurrent_layer_downloads_per_image is not a number from 1 to 64");
  }
  const roots = image["extra_root_certificates"] ?? [];
  if (!Array.isArray(roots) || !roots.every((root) => typeof root === "string")) {
    throw new ConfigError("image.extra_root_certificates is not a list of PEM certificates");
  }
  const registriesUri = text("image.registry_configuration_uri", image["registry_configuration_uri"]);
  const credentialsUri = text(
    "image.authenticated_registry_credentials_uri",
    image["authenticated_registry_credentials_uri"],
  );
  if (registriesUri !== undefined) filePath("image.registry_configuration_uri", registriesUri);
  if (credentialsUri !== undefined) filePath("image.authenticated_registry_credentials_uri", credentialsUri);
  return {
    workDir: text("image.work_dir", image["work_dir"]) ?? DEFAULT_WORK_DIR,
    concurrentDownloads: downloads,
    ...(image["registry_config"] === undefined ? {} : { registries: parseRegistryConfig(image["registry_config"]) }),
    ...(registriesUri === undefined ? {} : { registriesUri }),
    ...(credentialsUri === undefined ? {} : { credentialsUri }),
    ...(securityPolicy === undefined ? {} : { securityPolicy }),
    ...(sigstoreConfig === undefined ? {} : { sigstoreConfig }),
    extraRoots: roots,
    ...(image["image_pull_proxy"] === undefined ? {} : { proxy: parseProxy(image["image_pull_proxy"]) }),
  };
}

/** @throws ConfigError when a proxy is not a plain `http://` URL: its password must not end up in a message. */
function parseProxy(value: unknown): ProxySettings {
  const proxy = table("[image.image_pull_proxy]", value, ["https_proxy", "http_proxy", "no_proxy"]);
  const url = (key: string): string | undefined => {
    const given = text(`image_pull_proxy.${key}`, proxy[key]);
    if (given !== undefined && !(URL.canParse(given) && new URL(given).protocol === "http:")) {
      throw new ConfigError(`image_pull_proxy.${key} is not a URL http://HOST:PORT`);
    }
    return given;
  };
  return {
    https: url("https_proxy"),
    http: url("http_proxy"),
    exceptions: text("image_pull_proxy.no_proxy", proxy["no_proxy"]),
  };
}

function table(what: string, value: unknown, known: readonly string[]): Table {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ConfigError(`${what} is not a table`);
  }
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown !== undefined) throw new ConfigError(`${what} has the unknown key ${unknown}`);
  return value as Table;
}

function text(key: string, value: unknown): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== "string" || value === "") throw new ConfigError(`${key} is not a text`);
  return value;
}
