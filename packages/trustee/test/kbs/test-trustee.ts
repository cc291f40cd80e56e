import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { request } from "node:http";

import { MemoryStorage } from "../../src/storage/memory.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { startTrustee, type Trustee, type TrusteeOptions } from "../../src/trustee.ts";

/** A broker for tests, on a free port, and the key of its administrator. */
export interface TestTrustee {
  readonly trustee: Trustee;
  readonly adminKey: KeyObject;
  readonly audit: readonly Record<string, unknown>[];
  readonly log: readonly string[];
  call(method: string, target: string, headers?: Record<string, string>, body?: Buffer | string): Promise<Answer>;
  admin(claims?: Record<string, unknown>): string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export async function testTrustee(
  change: Partial<TrusteeOptions> = {},
  storage: Storage = new MemoryStorage(),
): Promise<TestTrustee> {
  const { publicKey, privateKey: adminKey } = generateKeyPairSync("ed25519");
  const audit: Record<string, unknown>[] = [];
  const log: string[] = [];
  const trustee = await startTrustee({
    storage,
    sessionMinutes: 5,
    attestation: { signer: {}, verboseToken: true, vcekSources: [] },
    tokens: { certificates: [], jwks: [], insecureHeaderJwk: true, extraKeyPaths: [] },
    admin: {
      mode: "AuthenticatedAuthorization",
      providers: [{ issuer: "golden-issuer", audience: "golden-kbs", keys: [{ key: publicKey }] }],
      rules: [
        { role: "admin", endpoints: /^\/kbs\/.+$/u },
        { role: "team", endpoints: /^(?:\/kbs\/v0\/resource\/.+\/public)$/u },
        { role: "reader", endpoints: /^\/kbs\/v0\/resource-policy$/u },
      ],
    },
    resourcePlugin: true,
    listen: [{ host: "127.0.0.1", port: 0, maxBody: 2 * 1024 * 1024 }],
    log: (line) => void log.push(line),
    audit: (line) => void audit.push(JSON.parse(line) as Record<string, unknown>),
    ...change,
  });
  const port = trustee.servers[0]?.port ?? 0;
  return {
    trustee,
    adminKey,
    audit,
    log,
    call: (method, target, headers = {}, body = "") => call(port, method, target, headers, body),
    admin: (claims = {}) => {
      const now = Math.floor(Date.now() / 1000);
      const all = { iss: "golden-issuer", aud: ["golden-kbs"], role: "admin", iat: now, exp: now + 7200, ...claims };
      return `Bearer ${signJwt({ alg: "EdDSA", typ: "JWT" }, all, adminKey)}`;
    },
  };
}

export function signJwt(header: unknown, claims: unknown, key: KeyObject): string {
  const text = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  const signature =
    key.asymmetricKeyType === "ec"
      ? sign("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" })
      : sign(key.asymmetricKeyType === "ed25519" ? null : "sha256", Buffer.from(text), key);
  return `${text}.${signature.toString("base64url")}`;
}

export function call(
  port: number,
  method: string,
  target: string,
  headers: Record<string, string>,
  body: Buffer | string,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const bytes = Buffer.from(body);
    const length = bytes.length > 0 || method === "POST" ? { "content-length": String(bytes.length) } : {};
    const sent = request(
      { host: "127.0.0.1", port, method, path: target, headers: { ...headers, ...length }, agent: false },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.once("error", reject);
        response.once("end", () => {
          const names = Object.entries(response.headers).map(([name, value]) => [name, String(value)]);
          resolve({
            status: response.statusCode ?? 0,
            headers: Object.fromEntries(names),
            body: Buffer.concat(chunks).toString(),
          });
        });
      },
    );
    sent.once("error", reject);
    sent.end(bytes);
  });
}
