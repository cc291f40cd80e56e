import { createPublicKey, type KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { SecureVersion } from "node:tls";

import type { JWK } from "jose";
import { parse } from "smol-toml";

import { errorText, TrusteeError } from "./error.ts";
import { FieldReader, type Fields, isFields } from "./fields.ts";
import { parseJson } from "./json.ts";

/** How storage is chosen; `Sqlite` is ours. */
export type StorageKind = "LocalFs" | "Memory" | "Postgres" | "Redis" | "Sqlite";
export const STORAGE_KINDS: readonly StorageKind[] = ["LocalFs", "Memory", "Postgres", "Redis", "Sqlite"];

/** A configuration file's content (spec trustee 1.6), read and checked; files that it names are not opened yet. */
export interface TrusteeConfig {
  readonly http: HttpConfig;
  readonly tokens: TokenConfig;
  readonly attestation: AttestationConfig | RemoteConfig | undefined;
  readonly sessionMinutes: number;
  readonly storage: StorageConfig;
  readonly sessionStorage: StorageKind | undefined;
  readonly admin: AdminConfig;
  readonly resourcePlugin: boolean;
  /** Ours: where the audit log goes; default: standard error. */
  readonly auditLog: string | undefined;
  /** Names of settings of the file that have no effect. */
  readonly ineffective: readonly string[];
}

export interface HttpConfig {
  /** "HOST:PORT", an IPv6 address in brackets. Default: 127.0.0.1:8080. */
  readonly sockets: readonly string[];
  /** Serve without TLS. Default: false. */
  readonly insecure: boolean;
  readonly privateKey: string | undefined;
  readonly certificate: string | undefined;
  /** Bytes. Default: 2 MiB. */
  readonly maxBody: number;
  readonly tls: TlsConfig;
}

export interface TlsConfig {
  readonly minVersion: SecureVersion;
  readonly maxVersion: SecureVersion;
  readonly ciphers: string | undefined;
  readonly groups: string | undefined;
}

export interface TokenConfig {
  readonly jwkSets: readonly string[];
  readonly certificates: readonly string[];
  readonly extraKeyPaths: readonly string[];
  readonly insecureHeaderJwk: boolean;
}

export interface AttestationConfig {
  readonly minutes: number | undefined;
  readonly issuer: string | undefined;
  readonly developer: string | undefined;
  readonly build: string | undefined;
  readonly profile: string | undefined;
  readonly verboseToken: boolean;
  readonly keyPath: string | undefined;
  readonly certificatePath: string | undefined;
  readonly certificateUrl: string | undefined;
  /** Where reference values are; absent: in the same storage. */
  readonly referenceValues: RemoteConfig | undefined;
  /** Where chips' certificates come from, in this order; default: AMD's service. */
  readonly vcekSources: readonly (
    | { readonly type: "KDS"; readonly url: string }
    | { readonly type: "OfflineStore"; readonly path: string }
  )[];
  /** The only attestation keys of TPMs that are believed, PEM files of a folder, at most so many; absent: any key. */
  readonly tpmKeys: { readonly folder: string; readonly max: number } | undefined;
}

/** A service elsewhere. */
export interface RemoteConfig {
  readonly address: string;
  /** PEM; who signed its certificate. */
  readonly ca: string | undefined;
}

/** What an attestation service alone is to be. */
export interface ServiceConfig {
  readonly attestation: AttestationConfig;
  readonly storage: StorageConfig;
  readonly ineffective: readonly string[];
}

export interface StorageConfig {
  readonly kind: StorageKind;
  readonly localFsPath: string;
  readonly sqlitePath: string;
  readonly postgres: PostgresConfig;
  readonly redisUrl: string;
}

export interface PostgresConfig {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string | undefined;
}

export type AdminConfig =
  | { readonly mode: "DenyAll" }
  | { readonly mode: "InsecureAllowAll" }
  | {
      readonly mode: "AuthenticatedAuthorization";
      readonly providers: readonly ProviderConfig[];
      readonly rules: readonly { readonly role: string; readonly endpoints: RegExp }[];
    };

export interface ProviderConfig {
  readonly issuer: string | undefined;
  readonly audience: string | undefined;
  readonly publicKey: string | undefined;
  readonly jwkSet: string | undefined;
}

const MAX_LIST = 256;
const MAX_TPM_KEYS = 100;
/** Members that upstream's files have and nothing here depends on. */
const INEFFECTIVE: readonly (readonly string[])[] = [
  ["http_server", "worker_count"],
  ["attestation_service", "pool_size"],
  ["work_dir"],
  ["attestation_service", "rvps_config", "storage_type"],
  ["attestation_service", "rvps_config", "storage"],
  ["attestation_service", "rvps_config", "extractors"],
  ["storage_backend", "backends", "postgres", "table"],
];
/** Verifiers that upstream's files set up and that are not here, with the evidence that they would be for. */
const ABSENT_VERIFIERS: Readonly<Record<string, string>> = {
  dcap_verifier: "tdx and sgx",
  nvidia_verifier: "nvidia",
  nvidia_dpu_verifier: "nvidia-dpu",
};
const MEGABYTE = 1024 * 1024;
const KDS = "https://kdsintf.amd.com";
const LOCAL_FS = "/opt/confidential-containers/storage/local_fs";
const SQLITE = "/opt/confidential-containers/storage/trustee.db";
const AS_ADDRESS = "http://127.0.0.1:50004";
const RVPS_ADDRESS = "http://127.0.0.1:50003";
const REDIS = "redis://127.0.0.1:6379";
const POSTGRES_PORT = 5432;
const MAX_PORT = 65_535;

/** Reads a configuration file; its name says whether it is TOML or JSON. Rejects with `config`. */
export async function readConfig(path: string): Promise<TrusteeConfig> {
  return await readAs(path, parseConfig);
}

/** The file of an attestation service alone (spec trustee 2.1), or of reference values alone. Rejects with `config`. */
export async function readServiceConfig(path: string): Promise<ServiceConfig> {
  return await readAs(path, parseServiceConfig);
}

type Format = "json" | "toml";

async function readAs<T>(path: string, read: (text: string, format: Format, what: string) => T): Promise<T> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new TrusteeError("config", `${path}: cannot be read`, { cause });
  }
  return read(text, path.endsWith(".json") ? "json" : "toml", path);
}

/** Throws `config`. */
export function parseServiceConfig(text: string, format: Format, what = "configuration"): ServiceConfig {
  const root = new Section(parseDocument(text, format, what), what);
  root.only(
    "work_dir",
    "rvps_config",
    "attestation_token_broker",
    "verifier_config",
    "storage_backend",
    "storage",
    "extractors",
  );
  return {
    attestation: attestationConfig(root),
    storage: storageConfig(root.section(root.fields["storage"] === undefined ? "storage_backend" : "storage")),
    ineffective: [
      ...INEFFECTIVE.map((path) => (path[0] === "attestation_service" ? path.slice(1) : path)),
      ["extractors"],
    ]
      .filter((path) => isSet(root.fields, path))
      .map((path) => path.join(".")),
  };
}

/** A service with nothing configured, as upstream's. */
export function emptyServiceConfig(): ServiceConfig {
  return parseServiceConfig("{}", "json");
}

/** Throws `config`, for unknown members too: a misspelt switch must not leave something open. */
export function parseConfig(text: string, format: Format, what = "configuration"): TrusteeConfig {
  const root = new Section(parseDocument(text, format, what), what);
  root.only(
    "http_server",
    "attestation_token",
    "attestation_service",
    "storage_backend",
    "session_storage_type",
    "admin",
    "plugins",
    "audit_log",
  );
  const attestation = root.section("attestation_service");
  const kind = attestation.present ? attestation.text("type") : undefined;
  if (kind !== undefined && kind !== "coco_as_builtin" && kind !== "coco_as_grpc") {
    throw attestation.bad("type", `coco_as_builtin or coco_as_grpc, got ${JSON.stringify(kind)}`);
  }
  return {
    http: httpConfig(root.section("http_server")),
    tokens: tokenConfig(root.section("attestation_token")),
    attestation: kind === undefined ? undefined : serviceOf(attestation, kind),
    sessionMinutes: attestation.present ? (attestation.number("timeout") ?? 5) : 5,
    storage: storageConfig(root.section("storage_backend")),
    sessionStorage: storageKind(root, "session_storage_type"),
    admin: adminConfig(root.section("admin")),
    resourcePlugin: plugins(root),
    auditLog: root.optional("audit_log"),
    ineffective: INEFFECTIVE.filter((path) => isSet(root.fields, path)).map((path) => path.join(".")),
  };
}

function parseDocument(text: string, format: Format, what: string): unknown {
  try {
    return format === "json" ? parseJson(text, what, "config") : parse(text);
  } catch (cause) {
    // A parser's message may show a password.
    throw new TrusteeError("config", `${what}: expected ${format.toUpperCase()}`, {
      cause: new Error(errorText(cause).split("\n", 1)[0]),
    });
  }
}

function serviceOf(section: Section, kind: "coco_as_builtin" | "coco_as_grpc"): AttestationConfig | RemoteConfig {
  if (kind === "coco_as_grpc") {
    section.only("type", "timeout", "as_addr", "pool_size", "tls_mode", "ca_cert_path");
    return remoteConfig(section, "as_addr", AS_ADDRESS);
  }
  section.only("type", "timeout", "attestation_token_broker", "rvps_config", "verifier_config", "storage_backend");
  return attestationConfig(section);
}

/** The address says whether there is TLS; `tls_mode` must agree. */
function remoteConfig(section: Section, name: string, byDefault: string): RemoteConfig {
  const address = section.optional(name) ?? byDefault;
  const mode = section.choice("tls_mode", ["insecure", "tls"]);
  const secure = address.startsWith("https://");
  if (!URL.canParse(address) || !(secure || address.startsWith("http://")))
    throw section.bad(name, "an address that begins with http:// or https://");
  if (mode !== undefined && secure !== (mode === "tls"))
    throw section.bad("tls_mode", `${secure ? "tls" : "insecure"}, as the address says`);
  return { address, ca: section.optional("ca_cert_path") };
}

function isSet(fields: unknown, path: readonly string[]): boolean {
  let at = fields;
  for (const name of path) at = isFields(at) ? at[name] : undefined;
  return at !== undefined;
}

const PROFILES: Readonly<Record<string, TlsConfig>> = {
  old: { minVersion: "TLSv1.2", maxVersion: "TLSv1.3", ciphers: undefined, groups: undefined },
  intermediate: { minVersion: "TLSv1.2", maxVersion: "TLSv1.3", ciphers: undefined, groups: undefined },
  modern: { minVersion: "TLSv1.3", maxVersion: "TLSv1.3", ciphers: undefined, groups: undefined },
  custom: { minVersion: "TLSv1.2", maxVersion: "TLSv1.3", ciphers: undefined, groups: undefined },
};
const VERSIONS: Readonly<Record<string, SecureVersion>> = { "1.2": "TLSv1.2", "1.3": "TLSv1.3" };

function httpConfig(section: Section): HttpConfig {
  section.only(
    "sockets",
    "insecure_http",
    "private_key",
    "certificate",
    "payload_request_size",
    "worker_count",
    "tls_profile",
    "tls_min_version",
    "tls_max_version",
    "tls_ciphers",
    "tls_groups",
  );
  const profile = PROFILES[section.choice("tls_profile", Object.keys(PROFILES)) ?? "intermediate"] as TlsConfig;
  const version = (name: string): SecureVersion | undefined =>
    VERSIONS[section.choice(name, Object.keys(VERSIONS)) ?? ""];
  return {
    sockets: section.texts("sockets") ?? ["127.0.0.1:8080"],
    insecure: section.flag("insecure_http") ?? false,
    privateKey: section.optional("private_key"),
    certificate: section.optional("certificate"),
    maxBody: (section.number("payload_request_size") ?? 2) * MEGABYTE,
    tls: {
      minVersion: version("tls_min_version") ?? profile.minVersion,
      maxVersion: version("tls_max_version") ?? profile.maxVersion,
      ciphers: section.optional("tls_ciphers"),
      groups: section.optional("tls_groups"),
    },
  };
}

function tokenConfig(section: Section): TokenConfig {
  section.only("trusted_jwk_sets", "trusted_certs_paths", "extra_teekey_paths", "insecure_header_jwk");
  return {
    jwkSets: section.texts("trusted_jwk_sets") ?? [],
    certificates: section.texts("trusted_certs_paths") ?? [],
    extraKeyPaths: section.texts("extra_teekey_paths") ?? [],
    insecureHeaderJwk: section.flag("insecure_header_jwk") ?? false,
  };
}

function attestationConfig(section: Section): AttestationConfig {
  const broker = section.section("attestation_token_broker");
  // `type` is a relic that upstream still takes.
  broker.only(
    "type",
    "duration_min",
    "issuer_name",
    "developer_name",
    "build_name",
    "profile_name",
    "signer",
    "verbose_token",
    "policy_dir",
  );
  const signer = broker.section("signer");
  signer.only("key_path", "cert_url", "cert_path");
  const rvps = section.section("rvps_config");
  rvps.only("type", "extractors", "storage_type", "storage", "address", "tls_mode", "ca_cert_path");
  const remote = rvps.choice("type", ["BuiltIn", "GrpcRemote"]) === "GrpcRemote";
  const verifiers = section.section("verifier_config");
  verifiers.only("snp_verifier", "tpm_verifier", ...Object.keys(ABSENT_VERIFIERS));
  for (const [name, tees] of Object.entries(ABSENT_VERIFIERS)) {
    // Whoever says where its collateral comes from counts on it.
    if (verifiers.fields[name] !== undefined)
      throw verifiers.bad(name, `no such member, because evidence of ${tees} is not verified here but refused`);
  }
  return {
    minutes: broker.number("duration_min"),
    issuer: broker.optional("issuer_name"),
    developer: broker.optional("developer_name"),
    build: broker.optional("build_name"),
    profile: broker.optional("profile_name"),
    verboseToken: broker.flag("verbose_token") ?? true,
    keyPath: signer.present ? signer.text("key_path") : undefined,
    certificatePath: signer.optional("cert_path"),
    certificateUrl: signer.optional("cert_url"),
    referenceValues: remote ? remoteConfig(rvps, "address", RVPS_ADDRESS) : undefined,
    vcekSources: vcekSources(verifiers.section("snp_verifier")),
    tpmKeys: tpmKeys(verifiers.section("tpm_verifier")),
  };
}

function tpmKeys(section: Section): AttestationConfig["tpmKeys"] {
  section.only("trusted_ak_keys_dir", "max_trusted_ak_keys");
  const folder = section.optional("trusted_ak_keys_dir");
  return folder === undefined ? undefined : { folder, max: section.number("max_trusted_ak_keys") ?? MAX_TPM_KEYS };
}

function vcekSources(section: Section): AttestationConfig["vcekSources"] {
  section.only("vcek_sources");
  if (!section.present) return [{ type: "KDS", url: KDS }];
  return section.sections("vcek_sources").map((source) => {
    const type = source.choice("type", ["KDS", "OfflineStore"]);
    if (type === undefined) throw source.bad("type", "KDS or OfflineStore");
    source.only("type", "base_url", "path");
    return type === "KDS"
      ? { type, url: source.optional("base_url") ?? KDS }
      : {
          type: "OfflineStore",
          path: source.optional("path") ?? "/opt/confidential-containers/attestation-service/kds-store",
        };
  });
}

function storageConfig(section: Section): StorageConfig {
  section.only("storage_type", "backends");
  const backends = section.section("backends");
  backends.only("local_fs", "local_json", "postgres", "redis", "sqlite");
  const localFs = backends.section("local_fs");
  localFs.only("dir_path");
  const sqlite = backends.section("sqlite");
  sqlite.only("path");
  return {
    kind: storageKind(section, "storage_type") ?? "Memory",
    localFsPath: localFs.optional("dir_path") ?? LOCAL_FS,
    sqlitePath: sqlite.optional("path") ?? SQLITE,
    postgres: postgresConfig(backends.section("postgres")),
    redisUrl: redisUrl(backends.section("redis")),
  };
}

/** Upstream also takes the names in lower case with underscores. */
function storageKind(section: Section, name: string): StorageKind | undefined {
  const value = section.optional(name);
  const kind = STORAGE_KINDS.find(
    (one) => one === value || one.replaceAll(/(?<=[a-z])(?=[A-Z])/gu, "_").toLowerCase() === value,
  );
  if (value !== undefined && kind === undefined) throw section.bad(name, `one of ${STORAGE_KINDS.join(", ")}`);
  return kind;
}

function postgresConfig(section: Section): PostgresConfig {
  section.only("db", "username", "password", "port", "host", "table");
  const port = section.number("port") ?? POSTGRES_PORT;
  if (port > MAX_PORT) throw section.bad("port", "the number of a port");
  return {
    host: section.optional("host") ?? "localhost",
    port,
    database: section.optional("db") ?? "postgres",
    user: section.optional("username") ?? "postgres",
    password: section.optional("password"),
  };
}

function redisUrl(section: Section): string {
  section.only("url");
  return section.optional("url") ?? REDIS;
}

function adminConfig(section: Section): AdminConfig {
  section.only("authorization_mode", "authentication", "authorization");
  const modes = ["InsecureAllowAll", "DenyAll", "AuthenticatedAuthorization"] as const;
  // Upstream's default is to allow everybody everything; ours nobody anything.
  const mode = section.choice("authorization_mode", modes) ?? "DenyAll";
  if (mode !== "AuthenticatedAuthorization") return { mode };
  const authentication = section.section("authentication");
  authentication.only("bearer_jwt");
  const jwt = authentication.section("bearer_jwt");
  jwt.only("identity_providers");
  const authorization = section.section("authorization");
  authorization.only("regex_acl");
  const acl = authorization.section("regex_acl");
  acl.only("acls");
  return {
    mode,
    providers: jwt.sections("identity_providers").map((provider) => {
      provider.only("issuer", "audience", "public_key_uri", "jwk_set_uri");
      const [publicKey, jwkSet] = [provider.optional("public_key_uri"), provider.optional("jwk_set_uri")];
      if (publicKey === undefined && jwkSet === undefined)
        throw provider.bad("public_key_uri", "a key or a set of keys");
      return { issuer: provider.optional("issuer"), audience: provider.optional("audience"), publicKey, jwkSet };
    }),
    rules: acl.sections("acls").map((rule) => {
      rule.only("role", "allowed_endpoints");
      return { role: rule.text("role"), endpoints: endpoints(rule) };
    }),
  };
}

function endpoints(rule: Section): RegExp {
  const text = rule.text("allowed_endpoints");
  if (!text.startsWith("^/kbs") || !text.endsWith("$"))
    throw rule.bad("allowed_endpoints", "an expression from ^/kbs to $");
  try {
    // The bounds hold for every branch of an alternation in it.
    return new RegExp(`^(?:${text.slice(1, -1)})$`, "u");
  } catch (cause) {
    throw new TrusteeError("config", "allowed_endpoints: expected a regular expression", { cause });
  }
}

/** Whether resources are served. A plugin that is not there is an error. */
function plugins(root: Section): boolean {
  const names = root.sections("plugins").map((plugin) => {
    plugin.only("name", "type", "storage_backend_type");
    const name = plugin.text("name");
    if (name !== "resource") throw plugin.bad("name", `resource, got ${JSON.stringify(name)}`);
    plugin.choice("storage_backend_type", ["kvstorage"]);
    plugin.choice("type", ["kvstorage"]);
    return name;
  });
  return names.length > 0;
}

/** A table of the file. One that is absent has no members. */
class Section {
  readonly present: boolean;
  readonly fields: Fields;
  readonly #what: string;

  constructor(value: unknown, what: string) {
    if (value !== undefined && !isFields(value)) throw new TrusteeError("config", `${what}: expected a table`);
    this.present = value !== undefined;
    this.fields = value ?? {};
    this.#what = what;
  }

  only(...names: readonly string[]): void {
    const stranger = Object.keys(this.fields).find((name) => !names.includes(name));
    if (stranger !== undefined) throw this.bad(stranger, "no such member");
  }

  section(name: string): Section {
    return new Section(this.fields[name], `${this.#what}.${name}`);
  }

  sections(name: string): readonly Section[] {
    const value = this.fields[name] ?? [];
    if (!Array.isArray(value) || value.length > MAX_LIST) throw this.bad(name, "a list of tables");
    return value.map((one, at) => new Section(one, `${this.#what}.${name}[${at}]`));
  }

  text(name: string): string {
    const value = this.fields[name];
    if (typeof value !== "string") throw this.bad(name, "a text");
    return value;
  }

  optional(name: string): string | undefined {
    return this.fields[name] === undefined ? undefined : this.text(name);
  }

  texts(name: string): readonly string[] | undefined {
    const value = this.fields[name];
    if (value === undefined) return undefined;
    if (!Array.isArray(value) || !value.every((one) => typeof one === "string"))
      throw this.bad(name, "a list of texts");
    return value;
  }

  flag(name: string): boolean | undefined {
    const value = this.fields[name];
    if (value !== undefined && typeof value !== "boolean") throw this.bad(name, "true or false");
    return value;
  }

  number(name: string): number | undefined {
    const value = this.fields[name];
    if (value === undefined) return undefined;
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value <= 0 || value > 1_000_000)
      throw this.bad(name, "a whole number above zero");
    return value;
  }

  choice<T extends string>(name: string, choices: readonly T[]): T | undefined {
    const value = this.optional(name);
    if (value === undefined) return undefined;
    const chosen = choices.find((choice) => choice === value);
    if (chosen === undefined) throw this.bad(name, `one of ${choices.join(", ")}`);
    return chosen;
  }

  bad(name: string, expected: string): TrusteeError {
    return new TrusteeError("config", `${this.#what}.${name}: expected ${expected}`);
  }
}

/** Public keys of a PEM text or of a set of JSON Web Keys. Throws `config`. */
export function parseJwkSet(text: string, what: string): readonly JWK[] {
  const keys = new FieldReader(parseJson(text, what, "config"), what, "config").list("keys", MAX_LIST);
  if (!keys.every(isFields)) throw new TrusteeError("config", `${what}: expected keys`);
  return keys;
}

export function parsePublicKey(pem: string, what: string): KeyObject {
  try {
    return createPublicKey(pem);
  } catch (cause) {
    throw new TrusteeError("config", `${what}: expected a public key in PEM`, { cause });
  }
}
