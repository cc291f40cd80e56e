import { type ChildProcess, execFile, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";

import { attest, begin, sampleGuest } from "../../packages/trustee/test/kbs/sample-guest.ts";
import { type Answer, call, signJwt, type TestTrustee } from "../../packages/trustee/test/kbs/test-trustee.ts";

/** A broker as a process whose disk takes no more in the middle of a write: the kernel cuts it at the byte that is asked for. */
const PRLIMIT = "/usr/bin/prlimit";
const MAIN = new URL("../../packages/cli/src/main.ts", import.meta.url).pathname;
const OLD = Buffer.alloc(3000, "o");
const NEW = Buffer.alloc(3000, "n");
const root = mkdtempSync(join(tmpdir(), "nacre-full-"));
const admin = generateKeyPairSync("ed25519");
writeFileSync(join(root, "admin.pem"), admin.publicKey.export({ type: "spki", format: "pem" }));
afterAll(() => rmSync(root, { recursive: true }));

let brokers = 0;
let folder = "";
let port = 0;
let child: ChildProcess | undefined;

function configuration(kind: "LocalFs" | "Sqlite"): string {
  return `audit_log = "${folder}/audit/log"
[http_server]
sockets = ["127.0.0.1:0"]
insecure_http = true
[attestation_token]
insecure_header_jwk = true
[attestation_service]
type = "coco_as_builtin"
[storage_backend]
storage_type = "${kind}"
[storage_backend.backends.local_fs]
dir_path = "${folder}/storage"
[storage_backend.backends.sqlite]
path = "${folder}/storage/trustee.db"
[admin]
authorization_mode = "AuthenticatedAuthorization"
[admin.authentication.bearer_jwt]
identity_providers = [{ public_key_uri = "${root}/admin.pem" }]
[admin.authorization.regex_acl]
acls = [{ role = "admin", allowed_endpoints = "^/kbs/.+$" }]
[[plugins]]
name = "resource"
`;
}

async function start(): Promise<void> {
  const config = join(folder, "kbs.toml");
  const args = ["--conditions=source", MAIN, "trustee", "start", "--config-file", config, "--json"];
  const broker = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  child = broker;
  let errors = "";
  broker.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  const line = await new Promise<string>((done, fail) => {
    broker.stdout.setEncoding("utf8").once("data", done);
    broker.once("close", () => fail(new Error(errors)));
  });
  port = Number(/:(\d+)/u.exec((JSON.parse(line) as { urls: readonly string[] }).urls[0] ?? "")?.[1]);
}

async function end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
  if (child === undefined) return;
  const closed = once(child, "close");
  child.kill(signal);
  await closed;
  child = undefined;
}
afterEach(() => end("SIGTERM"));

/** The largest file that the broker may write from now on. */
async function limit(bytes: number | "unlimited"): Promise<void> {
  await promisify(execFile)(PRLIMIT, ["--pid", String(child?.pid), `--fsize=${bytes}:unlimited`]);
}

const broker: Pick<TestTrustee, "call"> = {
  call: (method, target, headers = {}, body = "") => call(port, method, target, headers, body),
};
const administer = async (path: string, body: Buffer | string): Promise<Answer> => {
  const now = Math.floor(Date.now() / 1000);
  const token = signJwt({ alg: "EdDSA", typ: "JWT" }, { role: "admin", iat: now, exp: now + 600 }, admin.privateKey);
  return await broker.call("POST", `/kbs/v0/${path}`, { authorization: `Bearer ${token}` }, body);
};
const policy = (text: string): string => JSON.stringify({ policy: Buffer.from(text).toString("base64url") });
const ALLOWS = policy("package policy\nallow := true\n");

/** A guest that was attested before gets the resource. */
async function given(cookie: string): Promise<void> {
  const { status, body } = await broker.call("GET", "/kbs/v0/resource/a/b/c", { cookie });
  expect(status).toBe(200);
  expect((JSON.parse(body) as { readonly ciphertext: string }).ciphertext).not.toBe("");
}

/** What lies in storage of upstream's layout, read past the broker. */
function stored(): string {
  return readFileSync(join(folder, String.raw`storage/repository/a\x2Fb\x2Fc`), "utf8");
}

describe.each(["LocalFs", "Sqlite"] as const)("a broker with storage in %s", (kind) => {
  beforeEach(async () => {
    folder = join(root, String(brokers++));
    mkdirSync(join(folder, "audit"), { recursive: true });
    mkdirSync(join(folder, "storage"));
    writeFileSync(join(folder, "kbs.toml"), configuration(kind));
    await start();
    expect((await administer("resource-policy", ALLOWS)).status).toBe(200);
    expect((await administer("resource/a/b/c", OLD)).status).toBe(200);
  });

  /** Bytes at which writes are cut: of a file that is written anew, or of one that grows. */
  const cuts = (): readonly number[] => {
    const names = readdirSync(join(folder, "storage"), { withFileTypes: true }).filter((one) => one.isFile());
    const size = Math.max(0, ...names.map(({ name }) => statSync(join(folder, "storage", name)).size));
    const start = kind === "LocalFs" ? 0 : size;
    return [0, 1, 255, 1500, OLD.length - 1].map((bytes) => start + bytes);
  };

  it("keeps what was there when a write is cut at any place, says so, and takes the next", async () => {
    const { cookie } = await attest(broker);
    for (const bytes of cuts()) {
      await limit(bytes);
      const refused = await administer("resource/a/b/c", NEW);
      await limit("unlimited");
      expect(refused.status, `cut at ${bytes}`).toBe(401);
      expect(refused.body).not.toMatch(/EFBIG|nnn|SQLITE|database/u);
      await given(cookie);
      if (kind === "LocalFs") {
        expect(stored()).toBe(String(OLD));
        expect(readdirSync(join(folder, "storage/.unfinished"))).toEqual([]);
      }
    }
    // It is the same after the end of the process, whatever was left beside it.
    await end("SIGKILL");
    await start();
    expect(await lengthOf()).toBe(OLD.length);
    expect((await administer("resource/a/b/c", Buffer.alloc(10, "n"))).status).toBe(200);
    expect(await lengthOf()).toBe(10);
  });

  it("begins no session and hands out no token that it cannot keep", async () => {
    const guest = sampleGuest();
    await limit(kind === "LocalFs" ? 10 : (cuts()[0] ?? 0));
    await expect(begin(broker)).rejects.toThrow("401");
    await limit("unlimited");
    const { cookie, nonce } = await begin(broker);
    await limit(kind === "LocalFs" ? 10 : (cuts()[0] ?? 0));
    const failed = await broker.call("POST", "/kbs/v0/attest", { cookie }, guest.attestation(nonce));
    await limit("unlimited");
    expect(failed.status).toBe(401);
    expect(failed.body).not.toContain("token");
    expect((await broker.call("GET", "/kbs/v0/resource/a/b/c", { cookie })).body).toContain("/TokenNotFound");
    // The session is as it was: the guest tries again, and is attested.
    expect((await broker.call("POST", "/kbs/v0/attest", { cookie }, guest.attestation(nonce))).status).toBe(200);
    await given(cookie);
  });

  it("gives out nothing of which it cannot write down who got it", async () => {
    const { cookie } = await attest(broker);
    await limit(0);
    const refused = await broker.call("GET", "/kbs/v0/resource/a/b/c", { cookie });
    await limit("unlimited");
    expect(refused.status).toBe(401);
    expect(refused.body).not.toContain("ciphertext");
    await given(cookie);
  });

  /** Of the resource, as a new guest gets it: encrypted, it has as many bytes as it has. */
  async function lengthOf(): Promise<number> {
    const { cookie } = await attest(broker);
    const { body } = await broker.call("GET", "/kbs/v0/resource/a/b/c", { cookie });
    return Buffer.from((JSON.parse(body) as { readonly ciphertext: string }).ciphertext, "base64url").length;
  }
});
