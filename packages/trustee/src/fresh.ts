import { execFile } from "node:child_process";
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { appendFileSync, chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";

import { TrusteeError } from "./error.ts";
import { fetchBytes } from "./fetch-bytes.ts";
import type { HttpOptions } from "./kbs/http-server.ts";
import { SqliteStorage } from "./storage/sqlite.ts";
import type { TrusteeOptions } from "./trustee.ts";
import { keyDistributionService } from "./verifier/snp/kds.ts";

/** Makes the certificate of the server; Node can make keys only. */
const OPENSSL = "/usr/bin/openssl";
const CERTIFICATE_DAYS = "825";
const MEGABYTE = 1024 * 1024;
const KDS = "https://kdsintf.amd.com";
export const ADMIN_ISSUER = "nacre-trustee";
export const ADMIN_AUDIENCE = "kbs";
export const ADMIN_ROLE = "admin";

/** What a broker without a configuration file is to be. */
export interface FreshOptions {
  /** Keys, storage and audit log; made if it is not there. */
  readonly folder: string;
  readonly host: string;
  readonly port: number;
  /** Serve without TLS. */
  readonly insecureHttp: boolean;
  readonly log: (line: string) => void;
}

/** Files of the folder. */
export const FreshFile = {
  ADMIN_KEY: "admin.key",
  AUDIT: "audit.log",
  DATABASE: "trustee.db",
  TLS_CERTIFICATE: "https.crt",
  TLS_KEY: "https.key",
  TOKEN_KEY: "token.key",
} as const;

/**
 * A broker with keys of its own, made on the first start and kept for the next: TLS with a certificate that clients are
 * to pin, SQLite, resources, an attestation service, administration by whoever can read the folder. Rejects with `config`.
 */
export async function freshTrustee(options: FreshOptions): Promise<TrusteeOptions> {
  const { folder, host, port, insecureHttp, log } = options;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = (name: string): string => join(folder, name);
  const admin = key(file(FreshFile.ADMIN_KEY), () => generateKeyPairSync("ed25519").privateKey);
  const token = key(file(FreshFile.TOKEN_KEY), () => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
  const tls = insecureHttp ? undefined : await tlsFiles(folder, host);
  const listen: HttpOptions = { host, port, maxBody: 2 * MEGABYTE, ...(tls === undefined ? {} : { tls }) };
  return {
    storage: new SqliteStorage(file(FreshFile.DATABASE)),
    sessionMinutes: 5,
    attestation: { signer: { key: token }, verboseToken: true, vcekSources: [keyDistributionService(KDS, fetchBytes)] },
    tokens: { certificates: [], jwks: [], insecureHeaderJwk: false, extraKeyPaths: [] },
    admin: {
      mode: "AuthenticatedAuthorization",
      providers: [{ issuer: ADMIN_ISSUER, audience: ADMIN_AUDIENCE, keys: [{ key: createPublicKey(admin) }] }],
      rules: [{ role: ADMIN_ROLE, endpoints: /^\/kbs\/.+$/u }],
    },
    resourcePlugin: true,
    listen: [listen],
    log,
    audit: (line) => appendFileSync(file(FreshFile.AUDIT), line, { mode: 0o600 }),
  };
}

/** A token for administrators of a folder's broker, valid for so many hours. Throws `config`. */
export function adminToken(folder: string, hours: number, now: number): string {
  const path = join(folder, FreshFile.ADMIN_KEY);
  if (!existsSync(path)) throw new TrusteeError("config", `${path}: there is none; a broker makes it when it starts`);
  const iat = Math.floor(now / 1000);
  const claims = {
    iss: ADMIN_ISSUER,
    aud: [ADMIN_AUDIENCE],
    role: ADMIN_ROLE,
    iat,
    exp: iat + Math.round(hours * 3600),
  };
  const text = [{ alg: "EdDSA", typ: "JWT" }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  return `${text}.${sign(null, Buffer.from(text), readKey(path)).toString("base64url")}`;
}

function key(path: string, make: () => KeyObject): KeyObject {
  if (!existsSync(path)) {
    writeFileSync(path, make().export({ type: "pkcs8", format: "pem" }), { mode: 0o600, flag: "wx" });
  }
  return readKey(path);
}

function readKey(path: string): KeyObject {
  try {
    return createPrivateKey(readFileSync(path));
  } catch (cause) {
    throw new TrusteeError("config", `${path}: expected a private key in PEM`, { cause });
  }
}

async function tlsFiles(folder: string, host: string): Promise<{ readonly key: Buffer; readonly cert: Buffer }> {
  const [keyPath, certificatePath] = [join(folder, FreshFile.TLS_KEY), join(folder, FreshFile.TLS_CERTIFICATE)];
  if (!existsSync(certificatePath)) {
    const name = isIP(host) === 0 ? `DNS:${host}` : `IP:${host}`;
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"];
    const subject = ["-subj", "/CN=nacre trustee", "-addext", `subjectAltName=${name},DNS:localhost,IP:127.0.0.1`];
    const files = ["-keyout", keyPath, "-out", certificatePath];
    try {
      await promisify(execFile)(OPENSSL, ["req", "-x509", ...curve, "-days", CERTIFICATE_DAYS, ...subject, ...files]);
    } catch (cause) {
      throw new TrusteeError("config", `${OPENSSL}: cannot make a certificate`, { cause });
    }
    chmodSync(keyPath, 0o600);
  }
  return { key: readFileSync(keyPath), cert: readFileSync(certificatePath) };
}
