import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { appendFileSync, openSync, writeSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import type { JWK } from "jose";

import {
  type AdminConfig,
  type AttestationConfig,
  type HttpConfig,
  parseJwkSet,
  parsePublicKey,
  type RemoteConfig,
  type ServiceConfig,
  type StorageConfig,
  type StorageKind,
  type TokenConfig,
  type TrusteeConfig,
} from "./config.ts";
import { TrusteeError } from "./error.ts";
import type { RemoteOptions } from "./grpc/remote.ts";
import type { AdminOptions, IdentityProvider } from "./kbs/admin.ts";
import type { HttpOptions } from "./kbs/http-server.ts";
import type { TokenTrust } from "./kbs/token-verifier.ts";
import { LocalFsStorage } from "./storage/local-fs.ts";
import { MemoryStorage } from "./storage/memory.ts";
import { PostgresStorage } from "./storage/postgres.ts";
import { RedisStorage } from "./storage/redis.ts";
import { SqliteStorage } from "./storage/sqlite.ts";
import type { Storage } from "./storage/storage.ts";
import type { AttestationOptions, TrusteeOptions } from "./trustee.ts";
import { parsePemChain } from "./verifier/certificate.ts";
import { keyDistributionService } from "./verifier/snp/kds.ts";
import { offlineStore } from "./verifier/snp/offline-store.ts";
import type { FetchBytes } from "./verifier/snp/kds.ts";

export interface OpenConfigOptions {
  /** Take the mode InsecureAllowAll; without it the file is refused. */
  readonly allowInsecureAdmin: boolean;
  readonly log: (line: string) => void;
  readonly fetchBytes: FetchBytes;
  /** POSTGRES_URL and REDIS_URL. Default: neither. */
  readonly env?: Environment;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Bytes of a set of keys that is fetched. */
const MAX_JWKS = 1024 * 1024;

/** Opens what a configuration names: keys, certificates, storage. Rejects with `config`, `storage`, `collateral`. */
export async function openConfig(config: TrusteeConfig, options: OpenConfigOptions): Promise<TrusteeOptions> {
  const { admin, attestation } = config;
  if (admin.mode === "InsecureAllowAll" && !options.allowInsecureAdmin) {
    throw new TrusteeError(
      "config",
      "admin.authorization_mode: InsecureAllowAll lets anybody read and write everything; it needs the flag --insecure-admin",
    );
  }
  for (const name of config.ineffective) options.log(`configuration: ${name} has no effect here`);
  const listen = await listenOptions(config.http);
  const tokens = await tokenTrust(config.tokens, options.fetchBytes);
  const opened = attestation === undefined ? undefined : await openAttestation(attestation, options.fetchBytes);
  const adminOptions = await openAdmin(admin, options.fetchBytes);
  const audit = auditWriter(config.auditLog);
  const { env = {} } = options;
  const storage = await openStorage(config.storage.kind, config.storage, env);
  const sessionStorage = await openSessionStorage(config, storage, env);
  return {
    storage,
    sessionStorage,
    sessionMinutes: config.sessionMinutes,
    ...(opened === undefined ? {} : { attestation: opened }),
    tokens,
    admin: adminOptions,
    resourcePlugin: config.resourcePlugin,
    listen,
    log: options.log,
    audit,
  };
}

async function openSessionStorage(
  { storage: main, sessionStorage }: TrusteeConfig,
  opened: Storage,
  env: Environment,
): Promise<Storage> {
  if (sessionStorage === undefined || sessionStorage === main.kind) return opened;
  try {
    return await openStorage(sessionStorage, main, env);
  } catch (error) {
    await opened.close();
    throw error;
  }
}

async function openAttestation(
  config: AttestationConfig | RemoteConfig,
  fetchBytes: FetchBytes,
): Promise<AttestationOptions | RemoteOptions> {
  return "address" in config ? await remoteOptions(config) : await attestationOptions(config, fetchBytes);
}

async function remoteOptions({ address, ca }: RemoteConfig): Promise<RemoteOptions> {
  return { address, ...(ca === undefined ? {} : { ca: Buffer.from(await readText(ca)) }) };
}

/** Opens what an attestation service alone stands on; reference values alone take the storage. Rejects as above. */
export async function openServiceConfig(
  config: ServiceConfig,
  options: Pick<OpenConfigOptions, "env" | "fetchBytes" | "log">,
): Promise<{ readonly attestation: AttestationOptions; readonly storage: Storage }> {
  for (const name of config.ineffective) options.log(`configuration: ${name} has no effect here`);
  const attestation = await attestationOptions(config.attestation, options.fetchBytes);
  return { attestation, storage: await openStorage(config.storage.kind, config.storage, options.env ?? {}) };
}

/** Addresses in the environment may hold passwords that a file should not; they come before the file's, as with upstream. */
async function openStorage(kind: StorageKind, config: StorageConfig, env: Environment): Promise<Storage> {
  switch (kind) {
    case "LocalFs":
      return await LocalFsStorage.open(config.localFsPath);
    case "Sqlite":
      return new SqliteStorage(config.sqlitePath);
    case "Memory":
      return new MemoryStorage();
    case "Postgres": {
      const { POSTGRES_URL: url } = env;
      const { password, ...server } = config.postgres;
      const address = url === undefined ? {} : { url };
      return await PostgresStorage.open({ ...server, ...(password === undefined ? {} : { password }), ...address });
    }
    case "Redis":
      return await RedisStorage.open({ url: env["REDIS_URL"] ?? config.redisUrl });
  }
}

async function listenOptions(http: HttpConfig): Promise<readonly HttpOptions[]> {
  const { privateKey, certificate, insecure, maxBody, tls } = http;
  let secure: HttpOptions["tls"];
  if (!insecure) {
    if (privateKey === undefined || certificate === undefined) {
      throw new TrusteeError("config", "http_server: expected private_key and certificate, or insecure_http = true");
    }
    secure = {
      key: await readText(privateKey),
      cert: await readText(certificate),
      minVersion: tls.minVersion,
      maxVersion: tls.maxVersion,
      ...(tls.ciphers === undefined ? {} : { ciphers: tls.ciphers }),
      ...(tls.groups === undefined ? {} : { ecdhCurve: tls.groups }),
    };
  }
  return http.sockets.map((socket) => {
    const [, bracketed, plain, port = ""] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/u.exec(socket) ?? [];
    const host = bracketed ?? plain;
    if (host === undefined || Number(port) > 65_535)
      throw new TrusteeError("config", `http_server.sockets: expected HOST:PORT, got ${JSON.stringify(socket)}`);
    return { host, port: Number(port), maxBody, ...(secure === undefined ? {} : { tls: secure }) };
  });
}

async function tokenTrust(config: TokenConfig, fetchBytes: FetchBytes): Promise<TokenTrust> {
  const certificates = await Promise.all(
    config.certificates.map(async (path) => parsePemChain(await readText(path), path)),
  );
  const jwks = await Promise.all(config.jwkSets.map((uri) => readJwks(uri, fetchBytes)));
  return {
    certificates: certificates.flat(),
    jwks: jwks.flat(),
    insecureHeaderJwk: config.insecureHeaderJwk,
    extraKeyPaths: config.extraKeyPaths,
  };
}

async function attestationOptions(config: AttestationConfig, fetchBytes: FetchBytes): Promise<AttestationOptions> {
  const { keyPath, certificatePath, certificateUrl, minutes, issuer, developer, build, profile } = config;
  const key = keyPath === undefined ? undefined : privateKey(await readText(keyPath), keyPath);
  const chain =
    certificatePath === undefined ? undefined : parsePemChain(await readText(certificatePath), certificatePath);
  return {
    signer: {
      ...(key === undefined ? {} : { key }),
      ...(chain === undefined ? {} : { chain }),
      ...(certificateUrl === undefined ? {} : { certificateUrl }),
      ...(minutes === undefined ? {} : { minutes }),
      ...(issuer === undefined ? {} : { issuer }),
      ...(developer === undefined ? {} : { developer }),
      ...(build === undefined ? {} : { build }),
      ...(profile === undefined ? {} : { profile }),
    },
    verboseToken: config.verboseToken,
    vcekSources: config.vcekSources.map((source) =>
      source.type === "KDS" ? keyDistributionService(source.url, fetchBytes) : offlineStore(source.path),
    ),
    ...(config.tpmKeys === undefined ? {} : { tpmKeys: await tpmKeys(config.tpmKeys) }),
    ...(config.referenceValues === undefined
      ? {}
      : { remoteReferenceValues: await remoteOptions(config.referenceValues) }),
  };
}

async function tpmKeys({ folder, max }: NonNullable<AttestationConfig["tpmKeys"]>): Promise<readonly KeyObject[]> {
  let names: readonly string[];
  try {
    names = await readdir(folder);
  } catch (cause) {
    throw new TrusteeError("config", `${folder}: expected a folder of attestation keys`, { cause });
  }
  if (names.length > max) throw new TrusteeError("config", `${folder}: expected at most ${max} attestation keys`);
  return await Promise.all(
    names.map(async (name) => {
      const path = join(folder, name);
      return parsePublicKey(await readText(path), path);
    }),
  );
}

async function openAdmin(config: AdminConfig, fetchBytes: FetchBytes): Promise<AdminOptions> {
  if (config.mode !== "AuthenticatedAuthorization") return config;
  const providers = config.providers.map(async ({ issuer, audience, publicKey, jwkSet }): Promise<IdentityProvider> => {
    const keys: IdentityProvider["keys"][number][] = [];
    if (publicKey !== undefined) keys.push({ key: parsePublicKey(await readUri(publicKey, fetchBytes), publicKey) });
    if (jwkSet !== undefined) {
      for (const jwk of await readJwks(jwkSet, fetchBytes)) {
        keys.push({
          key: createPublicKey({ key: jwk, format: "jwk" }),
          ...(jwk.kid === undefined ? {} : { kid: jwk.kid }),
        });
      }
    }
    return { ...(issuer === undefined ? {} : { issuer }), ...(audience === undefined ? {} : { audience }), keys };
  });
  return { ...config, providers: await Promise.all(providers) };
}

function privateKey(pem: string, path: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw new TrusteeError("config", `${path}: expected a private key in PEM`, { cause });
  }
}

/** A set at an address, or the one that an OpenID provider there names. */
async function readJwks(uri: string, fetchBytes: FetchBytes): Promise<readonly JWK[]> {
  const text = await readUri(uri, fetchBytes);
  try {
    return parseJwkSet(text, uri);
  } catch (error) {
    if (!uri.startsWith("https://")) throw error;
    const discovered = await readUri(`${uri.replace(/\/$/u, "")}/.well-known/openid-configuration`, fetchBytes);
    const { jwks_uri: next } = JSON.parse(discovered) as { readonly jwks_uri?: unknown };
    if (typeof next !== "string" || !next.startsWith("https://")) throw error;
    return parseJwkSet(await readUri(next, fetchBytes), next);
  }
}

/** A file by path or file://, or what is at an https:// address; never one that anybody on the way may change. */
async function readUri(uri: string, fetchBytes: FetchBytes): Promise<string> {
  if (uri.startsWith("https://")) return Buffer.from(await fetchBytes(uri, MAX_JWKS)).toString("utf8");
  if (uri.startsWith("http://")) throw new TrusteeError("config", `${uri}: expected https://, file:// or a path`);
  return await readText(uri.startsWith("file://") ? fileURLToPath(uri) : uri);
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new TrusteeError("config", `${path}: cannot be read`, { cause });
  }
}

/** Appends lines to a file, one write each; without one, to standard error. */
function auditWriter(path: string | undefined): (line: string) => void {
  if (path === undefined) return (line) => void writeSync(2, line);
  const file = openSync(path, "a", 0o600);
  return (line) => appendFileSync(file, line);
}
