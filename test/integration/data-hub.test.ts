import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { Client, credentials, type ServiceError } from "@grpc/grpc-js";
import { formatSealedSecret, signJws } from "@nacre/confidential-data-hub/secret";
import { REASON_DOMAIN } from "@nacre/kbs-protocol";
import { decode, GetResourceService, SealedSecretService, SecureMountService, type status } from "@nacre/protocols";
import { reasonOf, RpcError } from "@nacre/ttrpc";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { ALLOW, DataHubStack, DENY } from "../fixtures/data-hub.ts";

const { GetResource } = GetResourceService.methods;
const SECRET = "what only this guest may know";
const CREDENTIAL = "/run/confidential-containers/cdh/kbs/nacre-test/credential";

let stack: DataHubStack;
beforeAll(async () => {
  stack = await DataHubStack.start();
  await stack.put("repo/type/tag", SECRET);
});
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  rmSync(dirname(CREDENTIAL), { recursive: true, force: true });
});

const get = async (name: string): Promise<string> =>
  Buffer.from((await stack.call(GetResource, { ResourcePath: name })).Resource).toString();
const reason = async (name: string): Promise<string | undefined> =>
  reasonOf(await get(name).catch((e: unknown) => e), REASON_DOMAIN);

/** By gRPC on the same socket. */
async function overGrpc(name: string): Promise<string> {
  const client = new Client(`unix:${stack.hubSocket.slice("unix://".length)}`, credentials.createInsecure());
  try {
    return await new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        GetResource.path,
        (value: Uint8Array) => Buffer.from(value),
        (bytes: Buffer) => Buffer.from(GetResource.decodeResponse(bytes).Resource).toString(),
        GetResource.encodeRequest({ ResourcePath: name }),
        { deadline: Date.now() + 60_000 },
        (error, response) => (error === null ? resolve(response ?? "") : reject(error)),
      );
    });
  } finally {
    client.close();
  }
}

describe("resources", () => {
  it("of a thousand requests at once cost one attestation", async () => {
    const all = await Promise.all(Array.from({ length: 1000 }, () => get("kbs:///repo/type/tag")));
    expect(new Set(all)).toEqual(new Set([SECRET]));
    expect([stack.events("attest"), stack.events("resource")]).toEqual([1, 1000]);
  }, 300_000);

  it("of many requests with a token that nobody takes any more cost one more", async () => {
    await stack.stopBroker();
    stack.forgetTokenKey();
    await stack.startBroker();
    const all = await Promise.all(Array.from({ length: 200 }, () => get("kbs:///repo/type/tag")));
    expect(new Set(all)).toEqual(new Set([SECRET]));
    expect(stack.events("attest")).toBe(2);
  }, 300_000);

  it("come over gRPC on the same socket, and why there are none", async () => {
    expect(await overGrpc("kbs:///repo/type/tag")).toBe(SECRET);
    const error = (await overGrpc("kbs:///repo/type/none").catch((e: unknown) => e)) as ServiceError;
    expect(error).toMatchObject({ code: 13 });
    expect(error.details).toMatch(/^\[CDH\] \[ERROR\]: Get Resource failed/u);
    const [bytes] = error.metadata.get("grpc-status-details-bin");
    const { details } = decode("google.rpc.Status", bytes as Buffer) as status.Status;
    expect(reasonOf(new RpcError(13, "", { details }), REASON_DOMAIN)).toBe("MISSING");
  });

  it("that are not to be had say why, to programs too", async () => {
    expect(await reason("kbs:///repo/type/none")).toBe("MISSING");
    expect(await reason("repo/type/tag")).toBe("MALFORMED");
    expect(await reason("kbs+nosuch:///a/b/c?x=y")).toBe("MISSING");
    await stack.setPolicy(DENY);
    expect(await reason("kbs:///repo/type/tag")).toBe("DENIED");
    await stack.setPolicy(ALLOW);
    await stack.stopBroker();
    expect(await reason("kbs:///repo/type/tag")).toBe("UNREACHABLE");
    await stack.stopAgent();
    await expect(get("kbs:///repo/type/tag")).rejects.toThrow(/^\[CDH\] \[ERROR\]: kbs client initialization failed/u);
    expect(await reason("kbs:///repo/type/tag")).toBe("UNREACHABLE");
    // With neither, an agent that is back cannot attest.
    await stack.startAgent();
    expect(await reason("kbs:///repo/type/tag")).toBe("UNREACHABLE");
    await stack.startBroker();
    expect(await get("kbs:///repo/type/tag")).toBe(SECRET);
  });

  it("are in no line of the log", () => {
    expect(stack.lines.join("\n")).toContain("getting resource");
    expect(stack.lines.join("\n")).not.toContain(SECRET);
  });
});

describe("sealed secrets", () => {
  const signer = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const secret = (name: string): Buffer =>
    Buffer.from(
      signJws(
        Buffer.from(formatSealedSecret({ type: "vault", name, provider: "kbs", settings: {}, annotations: {} })),
        "kbs:///default/signing/pub",
        signer,
      ),
    );
  const unseal = async (sealed: Buffer): Promise<string> =>
    Buffer.from((await stack.call(SealedSecretService.methods.UnsealSecret, { secret: sealed })).plaintext).toString();

  it("are opened with keys and secrets of the broker", async () => {
    await stack.put("default/signing/pub", JSON.stringify(createPublicKey(signer).export({ format: "jwk" })));
    expect(await unseal(secret("kbs:///repo/type/tag"))).toBe(SECRET);
    const error = await unseal(secret("kbs:///repo/type/none")).catch((e: unknown) => e);
    expect((error as Error).message).toMatch(/^\[CDH\] \[ERROR\]: Unseal Secret failed: /u);
    expect(reasonOf(error, REASON_DOMAIN)).toBe("MISSING");
    expect(stack.lines.join("\n")).not.toContain(SECRET);
  });

  it("ask a KMS's client, which is loaded then", async () => {
    const settings = { region: "eu-north-1" };
    const payload = formatSealedSecret({ type: "vault", name: "x", provider: "AWS", settings, annotations: {} });
    const error = await unseal(Buffer.from(signJws(Buffer.from(payload), "kbs:///default/signing/pub", signer))).catch(
      (e: unknown) => e,
    );
    expect((error as Error).message).toContain(
      "KMS credential: /run/confidential-containers/cdh/kbs/kms-credential/aws",
    );
    expect(reasonOf(error, REASON_DOMAIN)).toBe("MISSING");
  });
});

describe("secure mounts", () => {
  it.each(["alibaba-cloud-oss", "block-device", "nosuch", ""])("of the kind %j are refused", async (type) => {
    const error = await stack
      .call(SecureMountService.methods.SecureMount, { volume_type: type, mount_point: "/run/m" })
      .catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 13 });
    expect((error as Error).message).toMatch(/^\[CDH\] \[ERROR\]: Secure Mount failed: (?:volumes|no kind) /u);
    expect(reasonOf(error, REASON_DOMAIN)).toBe("MALFORMED");
  });
});

describe("credentials", () => {
  const tables = `[[credentials]]\npath = "${CREDENTIAL}"\nresource_uri = "kbs:///repo/type/tag"\n`;

  it("are in their files when the socket opens, and one that is missing ends the start", async () => {
    await stack.stopHub();
    await stack.startHub({ tables });
    expect(readFileSync(CREDENTIAL, "utf8")).toBe(SECRET);
    rmSync(CREDENTIAL);
    await stack.stopHub();
    await expect(stack.startHub({ tables: tables.replace("type/tag", "type/none") })).rejects.toThrow(
      `credential ${CREDENTIAL}: kbs:///repo/type/none was not had`,
    );
    expect(existsSync(CREDENTIAL)).toBe(false);
  });
});

describe("the offline broker", () => {
  it("has resources of files, also of those that the environment names", async () => {
    const file = join(stack.folder, "offline.json");
    writeFileSync(file, JSON.stringify({ "a/b/c": Buffer.from(SECRET).toString("base64") }));
    await stack.stopHub();
    const env = { OFFLINE_FS_KBC_EXTRA_FILE_PATH: file };
    await stack.startHub({ kbc: 'name = "offline_fs_kbc"\n', env });
    expect(await get("kbs:///a/b/c")).toBe(SECRET);
    expect(await reason("kbs:///a/b/d")).toBe("MISSING");
    await stack.stopHub();
    writeFileSync(file, "{");
    await expect(stack.startHub({ kbc: 'name = "offline_fs_kbc"\n', env })).rejects.toThrow("failed to read");
  });
});
