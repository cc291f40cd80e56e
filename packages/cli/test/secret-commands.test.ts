import { EventEmitter } from "node:events";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";

import { parseSealedSecret } from "@nacre/confidential-data-hub/secret";
import { REASON_DOMAIN } from "@nacre/kbs-protocol";
import { Code, GetResourceService, ImagePullService, KeyProviderService, SealedSecretService } from "@nacre/protocols";
import { errorInfo, RpcError, TtrpcServer } from "@nacre/ttrpc";
import { listen, type Listener } from "@nacre/vsock";
import { compactVerify, importJWK, type JWK } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { COMMANDS } from "../src/commands/index.ts";
import { Interrupts } from "../src/interrupts.ts";
import { nacre } from "../src/nacre.ts";

const dir = mkdtempSync(join(tmpdir(), "nacre-secret-"));
const address = `unix://${dir}/cdh.sock`;
let listener: Listener;
let server: TtrpcServer;

beforeAll(async () => {
  server = new TtrpcServer()
    .addService(GetResourceService, {
      GetResource: ({ ResourcePath }) => {
        const reason = new Map([
          ["kbs:///a/b/denied", "DENIED"],
          ["kbs:///a/b/none", "MISSING"],
        ]).get(ResourcePath);
        if (reason === undefined) return { Resource: Buffer.from(`of ${ResourcePath}`) };
        throw new RpcError(Code.INTERNAL, "Get Resource failed", { details: [errorInfo(REASON_DOMAIN, reason)] });
      },
    })
    .addService(SealedSecretService, {
      UnsealSecret: ({ secret }) => ({ plaintext: Buffer.from(`open ${String(Buffer.from(secret))}`) }),
    })
    .addService(KeyProviderService, {
      UnWrapKey: ({ KeyProviderKeyWrapProtocolInput: input }) => ({ KeyProviderKeyWrapProtocolOutput: input }),
    })
    .addService(ImagePullService, {
      PullImage: ({ image_url: url, bundle_path: path }) => ({ manifest_digest: `${url}@${path}` }),
    });
  listener = await listen(address, (transport) => void server.serve(transport));
});
afterAll(async () => {
  await Promise.all([listener.close(), server.close({ graceMs: 0 })]);
  rmSync(dir, { recursive: true });
});

async function run(argv: readonly string[], input = ""): Promise<readonly [status: number, out: string, err: string]> {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()];
  stdin.end(input);
  const streams = { stdin, stdout, stderr } as unknown as Pick<
    Parameters<typeof nacre>[2],
    "stdin" | "stdout" | "stderr"
  >;
  const status = await nacre(COMMANDS, argv, { ...streams, env: {}, interrupts: new Interrupts(new EventEmitter()) });
  const read = (stream: PassThrough): string => String(stream.read() ?? "");
  return [status, read(stdout), read(stderr)];
}

const at = ["--address", address];
const base64 = (text: string): string => Buffer.from(text).toString("base64");

describe("nacre cdh", () => {
  it("asks a hub", async () => {
    expect(await run(["cdh", "get-resource", "kbs:///a/b/c", ...at])).toEqual([
      0,
      `${base64("of kbs:///a/b/c")}\n`,
      "",
    ]);
    expect(await run(["cdh", "get-resource", "kbs:///a/b/c", "--raw", ...at])).toEqual([0, "of kbs:///a/b/c", ""]);
    expect(await run(["cdh", "unseal-secret", "-", "--raw", ...at], "sealed.x\n")).toEqual([0, "open sealed.x", ""]);
    const [, unwrapped] = await run(["cdh", "unwrap-key", "-", "--raw", ...at], '{"kid":"k"}');
    expect(JSON.parse(unwrapped)).toMatchObject({ keyunwrapparams: { annotation: base64('{"kid":"k"}') } });
    expect(await run(["cdh", "pull-image", "a:b", "--bundle", "/b", "--json", ...at])).toEqual([
      0,
      '{"digest":"a:b@/b"}\n',
      "",
    ]);
  });

  it("tells the reasons of refusals apart", async () => {
    const [denied, , why] = await run(["cdh", "get-resource", "kbs:///a/b/denied", ...at]);
    expect(why).toContain("denied: Get Resource failed");
    const [missing, , none] = await run(["cdh", "get-resource", "kbs:///a/b/none", ...at]);
    expect(none).toContain("missing: Get Resource failed");
    const [, , away] = await run(["cdh", "get-resource", "x", "--address", `unix://${dir}/none`]);
    expect(away).toContain("the data hub at");
    expect([denied, missing]).not.toContain(0);
  });
});

describe("nacre secret", () => {
  it("makes a key, seals with it, and what it sealed is verified by another implementation", async () => {
    expect((await run(["secret", "keygen", "--kid", "me", "--output-dir", dir]))[0]).toBe(0);
    const [priv, pub] = ["private", "public"].map((part) => join(dir, `me-${part}.json`));
    expect(statSync(priv ?? "").mode & 0o777).toBe(0o600);
    const jwk = JSON.parse(readFileSync(pub ?? "", "utf8")) as JWK;
    expect(jwk).toMatchObject({ kty: "EC", crv: "P-256", alg: "ES256", kid: "me" });
    expect(jwk).not.toHaveProperty("d");
    // A key is not overwritten.
    expect((await run(["secret", "keygen", "--kid", "me", "--output-dir", dir]))[0]).not.toBe(0);

    const sign = ["--signing-kid", "kbs:///default/keys/me", "--signing-jwk-path", priv ?? ""];
    const [status, text] = await run(["secret", "seal", "--vault", "kbs:///a/b/c", ...sign]);
    expect([status, text.split(".").length]).toEqual([0, 4]);
    const { payload, protectedHeader } = await compactVerify(text.trim().slice("sealed.".length), await importJWK(jwk));
    expect(protectedHeader).toEqual({ alg: "ES256", kid: "kbs:///default/keys/me" });
    expect(parseSealedSecret(payload)).toEqual({
      type: "vault",
      name: "kbs:///a/b/c",
      provider: "kbs",
      settings: {},
      annotations: {},
    });

    const file = join(dir, "sealed");
    writeFileSync(file, text);
    const [refused, , why] = await run(["secret", "unseal", "-f", file, "--verification-jwk-path", pub ?? ""]);
    expect([refused, why]).toEqual([expect.any(Number), expect.stringContaining("ask a guest")]);
    const [other] = await run(["secret", "keygen", "--kid", "other", "--output-dir", dir]);
    expect(other).toBe(0);
    const wrong = ["secret", "unseal", "-f", file, "--verification-jwk-path", join(dir, "other-public.json")];
    expect((await run(wrong))[2]).toContain("a signature of the key that it names");
  });

  it.each([
    [["seal"], "expected --signing-kid and --signing-jwk-path"],
    [["seal", "--signing-kid", "x", "--signing-jwk-path", "y"], "expected either --vault or --file-path"],
    [["seal", "--signing-kid", "x", "--signing-jwk-path", "-", "--vault", "kbs:///a/b/c"], "expected a private JWK"],
    [["unseal"], "expected --file-path FILE"],
    [["unseal", "-f", "x"], "expected --verification-jwk-path or --skip-verification"],
    [["keygen", "--kid", "../x"], "expected --kid NAME"],
  ])("%j is refused", async (argv, why) => {
    const [status, , err] = await run(["secret", ...argv]);
    expect(status).not.toBe(0);
    expect(err).toContain(why);
  });

  it.each([
    [["--vault", "kbs+plugin:///a/b"], "--vault: expected kbs:///"],
    [["--file-path", "-"], "expected --provider aws"],
    [["--file-path", "-", "--provider", "aws", "--setting", "region=x"], "expected --key-id"],
    [["--file-path", "-", "--wrap-type", "zz"], "--wrap-type"],
    [["--vault", "kbs:///a/b/c", "--setting", "x"], "--setting: expected NAME=VALUE"],
  ])("seal %j is refused", async (argv, why) => {
    await run(["secret", "keygen", "--kid", "third", "--output-dir", dir]);
    const sign = ["--signing-kid", "x", "--signing-jwk-path", join(dir, "third-private.json")];
    const [status, , err] = await run(["secret", "seal", ...sign, ...argv], "plain");
    expect(status).not.toBe(0);
    expect(err).toContain(why);
  });
});
