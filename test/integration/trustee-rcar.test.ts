import { execFile, spawn } from "node:child_process";
import { createDecipheriv, createHash, diffieHellman, createPrivateKey, createPublicKey } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

import { afterAll, beforeAll, expect, it } from "vitest";

/**
 * The broker as a command, and a client of curl and openssl: nothing of ours speaks the protocol here but the broker. The
 * cipher that openssl's command line has not, GCM, comes from Node, which has it from OpenSSL.
 */
const run = promisify(execFile);
const repository = resolve(import.meta.dirname, "../..");
const home = mkdtempSync(join(tmpdir(), "nacre-rcar-"));
const folder = join(home, "broker");
const jar = join(home, "cookies");

interface Broker {
  readonly url: string;
  stop(): Promise<number | null>;
}
let broker: Broker;

function start(...args: readonly string[]): Promise<Broker> {
  return startCommand("start", ...args);
}

async function startCommand(...args: readonly string[]): Promise<Broker> {
  const main = join(repository, "packages/cli/src/main.ts");
  const child = spawn(process.execPath, ["--conditions=source", main, "trustee", ...args, "--json"], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (errors += chunk));
  const ended = once(child, "close") as Promise<[number | null]>;
  const line = await new Promise<string>((done, fail) => {
    child.stdout.setEncoding("utf8").once("data", done);
    void ended.then(() => fail(new Error(errors)));
  });
  const { urls } = JSON.parse(line) as { urls: readonly [string] };
  return {
    url: urls[0],
    stop: async () => {
      child.kill("SIGTERM");
      const [code] = await ended;
      return code;
    },
  };
}

beforeAll(async () => {
  broker = await start("--folder", folder, "--listen", "127.0.0.1:0");
});
afterAll(async () => {
  await broker.stop();
  rmSync(home, { recursive: true });
});

async function curl(...args: readonly string[]): Promise<{ readonly status: number; readonly body: string }> {
  const { stdout } = await run("curl", ["-sS", "--cacert", join(folder, "https.crt"), "-w", "\n%{http_code}", ...args]);
  const end = stdout.lastIndexOf("\n");
  return { status: Number(stdout.slice(end + 1)), body: stdout.slice(0, end) };
}

async function post(
  path: string,
  body: unknown,
  ...args: readonly string[]
): Promise<{ readonly status: number; readonly body: string }> {
  const file = join(home, "body");
  writeFileSync(file, typeof body === "string" ? body : JSON.stringify(body));
  return await curl(
    "-H",
    "content-type: application/json",
    "--data-binary",
    `@${file}`,
    ...args,
    `${broker.url}/kbs/v0/${path}`,
  );
}

async function openssl(args: readonly string[], input?: string | Buffer): Promise<Buffer> {
  const child = execFile("openssl", args, { encoding: "buffer" });
  const chunks: Buffer[] = [];
  child.stdout?.on("data", (chunk: Buffer) => chunks.push(chunk));
  // One that reads nothing may have ended before.
  child.stdin?.on("error", () => {});
  child.stdin?.end(input ?? "");
  const [code] = (await once(child, "close")) as [number];
  expect(code).toBe(0);
  return Buffer.concat(chunks);
}

async function admin(): Promise<readonly string[]> {
  const main = join(repository, "packages/cli/src/main.ts");
  const { stdout } = await run(process.execPath, ["--conditions=source", main, "trustee", "token", "--folder", folder]);
  return ["-H", `authorization: Bearer ${stdout.trim()}`];
}

/** A handshake with sample evidence; resolves with the status of the attestation. */
async function handshake(
  key: string,
  nonceOf = (nonce: string): string => nonce,
): Promise<{ readonly status: number; readonly body: string }> {
  await openssl(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key]);
  const der = await openssl(["pkey", "-in", key, "-pubout", "-outform", "DER"]);
  const [x, y] = [der.subarray(-64, -32), der.subarray(-32)].map((part) => part.toString("base64url"));
  const auth = await post("auth", { version: "0.4.0", tee: "sample", "extra-params": "" }, "-c", jar);
  expect(auth.status).toBe(200);
  const { nonce } = JSON.parse(auth.body) as { nonce: string };
  const sent = nonceOf(nonce);
  // RFC 8785 by hand: members sorted, no blanks.
  const jwk = `{"alg":"ECDH-ES+A256KW","crv":"P-256","kty":"EC","x":"${x}","y":"${y}"}`;
  const canonical = `{"additional-evidence":"","nonce":"${sent}","tee-pubkey":${jwk}}`;
  const digest = await openssl(["dgst", "-sha384", "-binary"], canonical);
  const evidence = `{"svn":"1","report_data":"${digest.toString("base64")}"}`;
  const request = `{"init-data":null,"runtime-data":{"nonce":"${sent}","tee-pubkey":${jwk}},"tee-evidence":{"primary_evidence":${evidence},"additional_evidence":""}}`;
  return await post("attest", request, "-b", jar, "-c", jar);
}

/** RFC 7518, 4.6: ECDH-ES with A256KW and A256GCM. */
async function decrypt(body: string, key: string): Promise<string> {
  const jwe = JSON.parse(body) as Record<"ciphertext" | "encrypted_key" | "iv" | "protected" | "tag", string>;
  const bytes = (text: string): Buffer => Buffer.from(text, "base64url");
  const { epk } = JSON.parse(bytes(jwe.protected).toString()) as { epk: Record<string, string> };
  const publicKey = createPublicKey({ key: epk, format: "jwk" });
  const secret = diffieHellman({ privateKey: createPrivateKey(readFileSync(key)), publicKey });
  const name = Buffer.from("ECDH-ES+A256KW");
  const u32 = (n: number): Buffer => Buffer.from([0, 0, n >> 8, n & 0xff]);
  const kek = createHash("sha256")
    .update(Buffer.concat([u32(1), secret, u32(name.length), name, u32(0), u32(0), u32(256)]))
    .digest("hex");
  const cek = await openssl(
    ["enc", "-d", "-id-aes256-wrap", "-K", kek, "-iv", "A6A6A6A6A6A6A6A6"],
    bytes(jwe.encrypted_key),
  );
  const cipher = createDecipheriv("aes-256-gcm", cek, bytes(jwe.iv))
    .setAAD(Buffer.from(jwe.protected))
    .setAuthTag(bytes(jwe.tag));
  return Buffer.concat([cipher.update(bytes(jwe.ciphertext)), cipher.final()]).toString();
}

const ALLOW = Buffer.from('package policy\nimport rego.v1\nallow if data.plugin == "resource"\n').toString("base64url");

it("curl and openssl attest and get a resource", async () => {
  const auth = await admin();
  expect(await post("resource/one/two/three", "what nobody else may know", ...auth)).toEqual({ status: 200, body: "" });
  const key = join(home, "tee.pem");
  const attested = await handshake(key);
  expect(attested.status).toBe(200);
  const { token } = JSON.parse(attested.body) as { token: string };

  // Sample evidence proves nothing: the policy that stands at first lets nobody in with it.
  const resource = `${broker.url}/kbs/v0/resource/one/two/three`;
  const refused = await curl("-b", jar, resource);
  expect(refused.status).toBe(401);
  expect(refused.body).toContain("/PolicyDeny");
  expect((await post("resource-policy", { policy: ALLOW }, ...auth)).status).toBe(200);

  for (const way of [
    ["-b", jar],
    ["-H", `authorization: Bearer ${token}`],
  ]) {
    const got = await curl(...way, resource);
    expect(got.status).toBe(200);
    expect(await decrypt(got.body, key)).toBe("what nobody else may know");
  }
  expect((await curl(resource)).status).toBe(401);
});

it("a nonce of another session is refused", async () => {
  const other = await post("auth", { version: "0.4.0", tee: "sample", "extra-params": "" });
  const { nonce } = JSON.parse(other.body) as { nonce: string };
  expect((await handshake(join(home, "other.pem"), () => nonce)).status).toBe(401);
});

it("the audit log says who got what, and no secret", () => {
  const text = readFileSync(join(folder, "audit.log"), "utf8");
  const events = text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(events).toContainEqual(
    expect.objectContaining({
      event: "resource",
      outcome: "allowed",
      path: "one/two/three",
      status: { cpu0: "contraindicated" },
    }),
  );
  expect(events).toContainEqual(
    expect.objectContaining({ event: "resource", outcome: "refused", reason: "Access denied by policy" }),
  );
  expect(events).toContainEqual(
    expect.objectContaining({ event: "admin", outcome: "allowed", role: "admin", endpoint: "resource/one/two/three" }),
  );
  expect(text).not.toContain("nobody else");
  expect(text).not.toContain("eyJ");
});

it("its keys are its own, and stay", async () => {
  for (const name of ["https.key", "token.key", "admin.key", "audit.log"])
    expect(statSync(join(folder, name)).mode & 0o077).toBe(0);
  expect(statSync(folder).mode & 0o077).toBe(0);
  const before = readFileSync(join(folder, "https.crt"));
  expect(await broker.stop()).toBe(0);
  broker = await start("--folder", folder, "--listen", "127.0.0.1:0");
  expect(readFileSync(join(folder, "https.crt"))).toEqual(before);
  const key = join(home, "again.pem");
  expect((await handshake(key)).status).toBe(200);
  const got = await curl("-b", jar, `${broker.url}/kbs/v0/resource/one/two/three`);
  expect(await decrypt(got.body, key)).toBe("what nobody else may know");
});

it("takes upstream's configuration, and refuses one that lets anybody administer", async () => {
  const file = join(home, "kbs.toml");
  const open = `
[http_server]
sockets = ["127.0.0.1:0"]
insecure_http = true
[attestation_token]
insecure_header_jwk = true
[attestation_service]
type = "coco_as_builtin"
[attestation_service.attestation_token_broker]
duration_min = 5
[attestation_service.rvps_config]
type = "BuiltIn"
[admin]
authorization_mode = "InsecureAllowAll"
[storage_backend]
storage_type = "LocalFs"
[storage_backend.backends.local_fs]
dir_path = "${join(home, "storage")}"
[[plugins]]
name = "resource"
storage_backend_type = "kvstorage"
`;
  writeFileSync(file, open);
  await expect(start("--config-file", file)).rejects.toThrow("InsecureAllowAll");
  const other = await start("--config-file", file, "--insecure-admin");
  const { status } = await curl("--data-binary", "x", `${other.url}/kbs/v0/resource/a/b/c`);
  expect(status).toBe(200);
  expect(readFileSync(join(home, "storage", "repository", String.raw`a\x2Fb\x2Fc`), "utf8")).toBe("x");
  expect(await other.stop()).toBe(0);
});

it("three processes serve as one: broker, attestation service, reference values", async () => {
  const rvps = await startCommand("rvps", "--address", "127.0.0.1:0");
  const asFile = join(home, "as.json");
  writeFileSync(asFile, JSON.stringify({ rvps_config: { type: "GrpcRemote", address: rvps.url } }));
  const service = await startCommand("as", "--socket", "127.0.0.1:0", "--config-file", asFile);
  const kbsFile = join(home, "remote.toml");
  writeFileSync(
    kbsFile,
    `
[http_server]
sockets = ["127.0.0.1:0"]
insecure_http = true
[attestation_token]
insecure_header_jwk = true
[attestation_service]
type = "coco_as_grpc"
as_addr = "${service.url}"
pool_size = 100
[admin]
authorization_mode = "InsecureAllowAll"
[[plugins]]
name = "resource"
`,
  );
  const own = broker;
  broker = await start("--config-file", kbsFile, "--insecure-admin");
  try {
    // Values that the build gives go through the broker and the attestation service to where they are kept.
    const values = { launch_digest: ["abcde"], svn: [1], major_version: 1, minimum_minor_version: 4 };
    const payload = Buffer.from(JSON.stringify(values)).toString("base64");
    const message = { version: "0.1.0", type: "sample", payload };
    expect(await post("reference-value", message)).toEqual({ status: 200, body: "" });
    expect((await curl(`${broker.url}/kbs/v0/reference-value/launch_digest`)).body).toBe('["abcde"]');
    expect((await post("resource/a/b/c", "secret")).status).toBe(200);
    expect((await post("resource-policy", { policy: ALLOW })).status).toBe(200);
    const key = join(home, "remote.pem");
    const attested = await handshake(key);
    expect(attested.status).toBe(200);
    const got = await curl("-b", jar, `${broker.url}/kbs/v0/resource/a/b/c`);
    expect(await decrypt(got.body, key)).toBe("secret");
    expect(await service.stop()).toBe(0);
    expect((await handshake(key)).status).toBe(401);
  } finally {
    await broker.stop();
    broker = own;
    await rvps.stop();
  }
  await expect(startCommand("as", "--socket", "0.0.0.0:0")).rejects.toThrow("--insecure-admin");
});
