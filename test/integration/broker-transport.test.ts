import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { TEE_KEY_ALGORITHMS, TeeKey } from "@nacre/kbs-protocol";
import { AttestationAgentService, GetResourceService, type MethodDescriptor } from "@nacre/protocols";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { testTrustee, type TestTrustee } from "../../packages/trustee/test/kbs/test-trustee.ts";
import { certificate, type ServerCertificate } from "../fixtures/certificate.ts";
import { RawTtrpc } from "../fixtures/raw-ttrpc.ts";

/** How the guest's daemons reach their broker: whom they trust over TLS, through which proxy, with which keys. */
const SECRET = "the secret of a, b and c";
const TINYPROXY = "/usr/bin/tinyproxy";
const folder = mkdtempSync(join(tmpdir(), "nacre-transport-"));
let ours: ServerCertificate;
let other: ServerCertificate;
let secure: TestTrustee;
let plain: TestTrustee;
let old: TestTrustee;

const port = (broker: TestTrustee): number => broker.trustee.servers[0]?.port ?? 0;

async function broker(tls?: object): Promise<TestTrustee> {
  const listen = { host: "127.0.0.1", port: 0, maxBody: 2 * 1024 * 1024 };
  const made = await testTrustee({ listen: [tls === undefined ? listen : { ...listen, tls }] });
  return made;
}

beforeAll(async () => {
  for (const name of ["ours", "other"]) mkdirSync(join(folder, name));
  ours = certificate(join(folder, "ours"), "127.0.0.1");
  other = certificate(join(folder, "other"), "127.0.0.1");
  const tls = { cert: readFileSync(ours.certificate), key: readFileSync(ours.key) };
  [secure, plain, old] = [
    await broker(tls),
    await broker(),
    await broker({ ...tls, minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" }),
  ];
  const policy = Buffer.from("package policy\nallow := true\n").toString("base64url");
  const admin = { authorization: plain.admin() };
  expect((await plain.call("POST", "/kbs/v0/resource-policy", admin, JSON.stringify({ policy }))).status).toBe(200);
  expect((await plain.call("POST", "/kbs/v0/resource/a/b/c", admin, SECRET)).status).toBe(200);
});
afterAll(async () => {
  for (const one of [secure, plain, old]) await one.trustee.close();
  rmSync(folder, { recursive: true });
});

let daemons = 0;
/** A daemon with a configuration of its own; `said` is what it has logged. */
async function daemon(
  name: "attestation-agent" | "confidential-data-hub",
  configure: (socket: string) => { readonly config: string; readonly args: readonly string[] },
  env: Readonly<Record<string, string>> = {},
): Promise<AsyncDisposable & { readonly client: RawTtrpc; readonly socket: string; said(): string }> {
  const [socket, config] = [join(folder, `${daemons}.sock`), join(folder, `${daemons}.toml`)];
  daemons += 1;
  const made = configure(socket);
  writeFileSync(config, made.config);
  const main = new URL(`../../packages/${name}/src/main.ts`, import.meta.url).pathname;
  const child: ChildProcess = spawn(process.execPath, ["--conditions=source", main, "-c", config, ...made.args], {
    env: { PATH: "/usr/bin", ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  await new Promise<void>((resolve, reject) => {
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (said.includes("listening on")) resolve();
    });
    child.once("close", () => reject(new Error(said)));
  });
  const client = await RawTtrpc.connect(socket);
  return {
    client,
    socket,
    said: () => said,
    async [Symbol.asyncDispose]() {
      client.close();
      const closed = once(child, "close");
      child.kill("SIGTERM");
      await closed;
    },
  };
}

type Daemon = Awaited<ReturnType<typeof daemon>>;

const agent = (kbs: string, env?: Readonly<Record<string, string>>): Promise<Daemon> =>
  daemon(
    "attestation-agent",
    (socket) => ({ config: `[token_configs.kbs]\n${kbs}`, args: ["--attestation_sock", `unix://${socket}`] }),
    env,
  );

async function call<Req, Res>(
  { client }: Daemon,
  method: MethodDescriptor<Req, Res>,
  request: Parameters<MethodDescriptor<Req, Res>["encodeRequest"]>[0],
): Promise<Res> {
  const answer = await client.call({
    service: method.service,
    method: method.name,
    payload: method.encodeRequest(request),
  });
  if (answer.kind === "reply") return method.decodeResponse(answer.payload);
  throw new Error(answer.kind === "status" ? answer.message : "closed");
}

interface AgentToken {
  readonly token: string;
  readonly tee_keypair: string;
}
const token = async (one: Daemon): Promise<AgentToken> => {
  const { Token } = await call(one, AttestationAgentService.methods.GetToken, { TokenType: "kbs" });
  return JSON.parse(Buffer.from(Token).toString()) as AgentToken;
};
const claims = ({ token: text }: AgentToken): Record<string, unknown> =>
  JSON.parse(Buffer.from(text.split(".")[1] ?? "", "base64url").toString()) as Record<string, unknown>;

const url = (): string => `url = "https://127.0.0.1:${port(secure)}"\n`;
const cert = ({ ca }: ServerCertificate): string => `cert = '''\n${ca}'''\n`;
/** What nobody may say while a broker is not the right one. */
const NOTHING = /eyJ|PRIVATE KEY/u;

describe("over TLS", () => {
  it("the broker of an extra authority is trusted", async () => {
    await using one = await agent(url() + cert(ours));
    expect((await token(one)).token).toMatch(/^eyJ/u);
  });

  it.each<readonly [string, () => string]>([
    ["that nobody vouches for", url],
    ["of another authority", () => url() + cert(other)],
    [
      "with another name",
      () => url().replace("127.0.0.1", "127.0.0.2").replace("https://127.0.0.2", "https://ip6-localhost") + cert(ours),
    ],
    ["of TLS 1.1", () => `url = "https://127.0.0.1:${port(old)}"\n${cert(ours)}`],
    ["of no TLS", () => `url = "https://127.0.0.1:${port(plain)}"\n${cert(ours)}`],
  ])("a broker %s gets nothing", async (_, kbs) => {
    const before = secure.audit.length;
    await using one = await agent(kbs());
    await expect(token(one)).rejects.toThrow("AA-KBC get token failed");
    expect(one.said()).not.toMatch(NOTHING);
    expect(secure.audit.slice(before)).toEqual([]);
  });

  it("pinned, the machine's own authorities do not count; not pinned, they do", async () => {
    const env = { NODE_EXTRA_CA_CERTS: join(folder, "ours/ca.crt") };
    await using trusting = await agent(url(), env);
    expect((await token(trusting)).token).toMatch(/^eyJ/u);
    await using adding = await agent(url() + cert(other), env);
    expect((await token(adding)).token).toMatch(/^eyJ/u);
    await using pinned = await agent(`${url()}${cert(other)}pin_cert = true\n`, env);
    await expect(token(pinned)).rejects.toThrow("AA-KBC get token failed");
    await using right = await agent(`${url()}${cert(ours)}pin_cert = true\n`);
    expect((await token(right)).token).toMatch(/^eyJ/u);
  });
});

/** A real proxy that lets nothing through but CONNECT to the broker's port, and requests to the plain one. */
async function proxy(): Promise<AsyncDisposable & { readonly address: string; said(): string }> {
  const listening = await freePort();
  const config = join(folder, `proxy-${listening}`);
  const lines = ["Listen 127.0.0.1", "Timeout 60", "Allow 127.0.0.1", "LogLevel Info", `ConnectPort ${port(secure)}`];
  writeFileSync(config, `Port ${listening}\n${lines.join("\n")}\n`);
  const child = spawn(TINYPROXY, ["-d", "-c", config], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  await new Promise<void>((resolve, reject) => {
    const read = (text: Buffer): void => {
      said += String(text);
      if (said.includes("Accepting connections")) resolve();
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.once("close", () => reject(new Error(said)));
  });
  return {
    address: `http://127.0.0.1:${listening}`,
    said: () => said,
    async [Symbol.asyncDispose]() {
      const closed = once(child, "close");
      child.kill("SIGTERM");
      await closed;
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port: free } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return free;
}

describe("through a proxy", () => {
  it("a TLS broker is reached by CONNECT, and verified as without one", async () => {
    await using through = await proxy();
    await using one = await agent(url() + cert(ours), { HTTPS_PROXY: through.address });
    expect((await token(one)).token).toMatch(/^eyJ/u);
    expect(through.said()).toContain(`CONNECT 127.0.0.1:${port(secure)}`);
    // The proxy, or who stands behind it, is not believed.
    await using wary = await agent(url() + cert(other), { https_proxy: through.address });
    await expect(token(wary)).rejects.toThrow("AA-KBC get token failed");
  });

  it("a broker without TLS is asked by the whole address", async () => {
    await using through = await proxy();
    const address = `127.0.0.1:${port(plain)}`;
    await using one = await agent(`url = "http://${address}"\n`, { http_proxy: through.address });
    expect((await token(one)).token).toMatch(/^eyJ/u);
    expect(through.said()).toContain(`POST http://${address}/kbs/v0/auth`);
  });

  it("those in NO_PROXY are asked without it; and nobody else where it is away or does not let them through", async () => {
    const gone = `http://127.0.0.1:${await freePort()}`;
    await using direct = await agent(url() + cert(ours), { HTTPS_PROXY: gone, NO_PROXY: "127.0.0.1" });
    expect((await token(direct)).token).toMatch(/^eyJ/u);
    const before = secure.audit.length;
    await using away = await agent(url() + cert(ours), { HTTPS_PROXY: gone });
    await expect(token(away)).rejects.toThrow("AA-KBC get token failed");
    await using through = await proxy();
    const refused = `url = "https://127.0.0.1:${port(old)}"\n${cert(ours)}`;
    await using one = await agent(refused, { HTTPS_PROXY: through.address });
    await expect(token(one)).rejects.toThrow("AA-KBC get token failed");
    expect(secure.audit.length).toBe(before);
  });
});

describe("an agent", () => {
  const kbs = (more = ""): string => `url = "http://127.0.0.1:${port(plain)}"\n${more}`;

  it.each(TEE_KEY_ALGORITHMS)(
    "with keys of %s gets a token, and with it the data hub the resource",
    async (algorithm) => {
      await using one = await agent(kbs(`tee_key_algorithm = "${algorithm}"\n`));
      const { tee_keypair: pem } = await token(one);
      expect(TeeKey.fromPem(Buffer.from(pem)).publicKey).toMatchObject(
        algorithm === "RSA-OAEP-256"
          ? { kty: "RSA" }
          : { kty: "EC", crv: algorithm.endsWith("P521") ? "P-521" : "P-256" },
      );
      await using hub = await daemon("confidential-data-hub", (socket) => ({
        config:
          `socket = "unix://${socket}"\n[aa]\naa_socket = "unix://${one.socket}"\n` +
          `[kbc]\nname = "cc_kbc"\nurl = "http://127.0.0.1:${port(plain)}"\n[image]\nwork_dir = "${folder}/image"\n`,
        args: [],
      }));
      const { Resource } = await call(hub, GetResourceService.methods.GetResource, { ResourcePath: "kbs:///a/b/c" });
      expect(Buffer.from(Resource).toString()).toBe(SECRET);
    },
  );

  it("keeps its token, gives many who ask at once the same one, and makes each anew where it is told to", async () => {
    await using keeping = await agent(kbs());
    const before = plain.audit.length;
    const tokens = await Promise.all(Array.from({ length: 8 }, () => token(keeping)));
    expect(new Set(tokens.map(({ token: text }) => text)).size).toBe(1);
    expect(plain.audit.slice(before).filter(({ event }) => event === "attest")).toHaveLength(1);
    await using fresh = await agent(kbs("cache_token = false\n"));
    const made = await Promise.all(Array.from({ length: 3 }, () => token(fresh)));
    expect(new Set(made.map(({ tee_keypair: key }) => key)).size).toBe(3);
    expect(plain.audit.slice(before).filter(({ event }) => event === "attest")).toHaveLength(4);
  });

  it("binds a device's evidence and its own to one key and nonce, and both are in the token", async () => {
    await using one = await agent(kbs(), { ENABLE_SAMPLE_DEVICE: "" });
    const { submods } = claims(await token(one)) as { submods: Readonly<Record<string, Record<string, unknown>>> };
    expect(Object.keys(submods).toSorted()).toEqual(["cpu0", "gpu0"]);
    const shown = (name: string): Record<string, unknown> =>
      submods[name]?.["ear.veraison.annotated-evidence"] as Record<string, unknown>;
    expect(shown("cpu0")["runtime_data_claims"]).toMatchObject({
      "additional-evidence": expect.stringContaining('"sampledevice":{') as string,
    });
    const { sampledevice } = JSON.parse(
      (shown("cpu0")["runtime_data_claims"] as { "additional-evidence": string })["additional-evidence"],
    ) as { sampledevice: { report_data: string } };
    expect(sampledevice.report_data).not.toBe("");
    expect(plain.audit.at(-1)).toMatchObject({
      event: "attest",
      findings: [
        { submodule: "cpu0", tee: "sample" },
        { submodule: "gpu0", tee: "sampledevice" },
      ],
    });
  });
});
