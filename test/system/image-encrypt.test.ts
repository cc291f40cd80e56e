import { spawnSync } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { serveKeyProvider } from "../../packages/cli/src/image-crypt/key-provider.ts";
import { encryptLayout } from "../../packages/cli/src/image-crypt/encrypt-layout.ts";
import { layerKey } from "../../packages/cli/src/image-crypt/key.ts";
import {
  decryptLayer,
  isEncrypted,
  KEYS_ANNOTATION,
  parsePacket,
  parsePrivateOptions,
  parsePublicOptions,
  PUBLIC_OPTIONS_ANNOTATION,
} from "@nacre/ocicrypt";
import { Client, credentials } from "@grpc/grpc-js";
import { type keyprovider, KeyProviderService } from "@nacre/protocols";
import { adminToken } from "@nacre/trustee";
import { generalDecrypt, type GeneralJWE, importPKCS8 } from "jose";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { DataHubStack } from "../fixtures/data-hub.ts";
import { busyboxImage, type Registry, startRegistry } from "../fixtures/registry.ts";
import { vectors } from "../setup/data.ts";

const KID = "kbs:///default/image-kek/test";

interface Layer {
  readonly mediaType: string;
  readonly digest: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

let folder: string;
let registry: Registry;
let stack: DataHubStack;
/** Where the hub speaks gRPC. */
let port: number;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "nacre-encrypt-"));
  registry = await startRegistry();
  const { reference } = await busyboxImage(registry, "busybox:1");
  skopeo(["--src-tls-verify=false", `docker://${reference}`, "oci:plain:one"]);
  port = await freePort();
  stack = await DataHubStack.start({ args: ["--grpc-address", `127.0.0.1:${port}`] });
});
afterAll(async () => {
  await stack[Symbol.asyncDispose]();
  await registry.close();
  rmSync(folder, { recursive: true });
});

/** The hub takes no port of the kernel's choice. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port: free } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return free;
}

function skopeo(args: readonly string[]): void {
  const run = spawnSync("/usr/bin/skopeo", ["copy", ...args], { cwd: folder, encoding: "utf8" });
  if (run.status !== 0) throw new Error(run.stderr);
}

const json = (...path: readonly string[]): unknown => JSON.parse(readFileSync(join(folder, ...path), "utf8"));
const blobOf = (layout: string, digest: string): string => join(layout, "blobs/sha256", digest.slice("sha256:".length));
function layersOf(layout: string): readonly Layer[] {
  const { manifests } = json(layout, "index.json") as { readonly manifests: readonly { readonly digest: string }[] };
  return (json(blobOf(layout, manifests[0]?.digest ?? "")) as { readonly layers: readonly Layer[] }).layers;
}
const annotation = ({ annotations }: Layer, name: string): string =>
  Buffer.from(annotations?.[name] ?? "", "base64").toString();

/** The layer's bytes, opened with its private options. */
function opened(layout: string, layer: Layer, options: Uint8Array): Buffer {
  const decryption = decryptLayer(
    parsePrivateOptions(options),
    parsePublicOptions(annotation(layer, PUBLIC_OPTIONS_ANNOTATION)),
  );
  const plain = decryption.update(readFileSync(join(folder, blobOf(layout, layer.digest))));
  decryption.finish();
  return plain;
}

/** As ocicrypt calls a key provider (Debian's skopeo is built without that). */
async function keyProvider(to: number, name: "UnWrapKey" | "WrapKey", input: object): Promise<Record<string, unknown>> {
  const method = KeyProviderService.methods[name];
  const client = new Client(`127.0.0.1:${to}`, credentials.createInsecure());
  try {
    const { KeyProviderKeyWrapProtocolOutput: output } =
      await new Promise<keyprovider.KeyProviderKeyWrapProtocolOutput>((resolve, reject) => {
        client.makeUnaryRequest(
          method.path,
          (value: Uint8Array) => Buffer.from(value),
          (bytes: Buffer) => method.decodeResponse(bytes),
          method.encodeRequest({ KeyProviderKeyWrapProtocolInput: Buffer.from(JSON.stringify(input)) }),
          { deadline: Date.now() + 60_000 },
          (error, response) => {
            if (error === null && response !== undefined) resolve(response);
            else reject(error ?? new Error("no response"));
          },
        );
      });
    return JSON.parse(Buffer.from(output).toString()) as Record<string, unknown>;
  } finally {
    client.close();
  }
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** Asks the hub for what a packet wraps, as Go's ocicrypt does. */
async function unwrapped(packet: string): Promise<Buffer> {
  const output = await keyProvider(port, "UnWrapKey", {
    op: "keyunwrap",
    keywrapparams: { ec: null, optsdata: null },
    keyunwrapparams: {
      dc: { Parameters: { "attestation-agent": [base64("attestation-agent")] } },
      annotation: base64(packet),
    },
  });
  return Buffer.from((output["keyunwrapresults"] as { optsdata: number[] }).optsdata);
}

/** Go's form of what is to be wrapped. */
const wrapping = (parameters: string, options: string): object => ({
  op: "keywrap",
  keywrapparams: { ec: { Parameters: { "attestation-agent": [base64(parameters)] } }, optsdata: base64(options) },
  keyunwrapparams: { dc: null, annotation: null },
});

describe("encrypted images", () => {
  it("of ours are opened with keys of the hub, by gRPC", async () => {
    const key = randomBytes(32);
    writeFileSync(join(folder, "kek"), key);
    await stack.put("default/image-kek/test", key);
    await encryptLayout(
      join(folder, "plain"),
      join(folder, "ours"),
      layerKey({ keyid: KID, keypath: join(folder, "kek") }),
    );
    expect(readdirSync(join(folder, "ours/blobs/sha256")).some((name) => name.endsWith(".part"))).toBe(false);
    const plain = layersOf("plain");
    for (const [index, layer] of layersOf("ours").entries()) {
      expect(isEncrypted(layer.mediaType)).toBe(true);
      const options = await unwrapped(annotation(layer, KEYS_ANNOTATION));
      expect(parsePrivateOptions(options).digest).toBe(plain[index]?.digest);
      const original = readFileSync(join(folder, blobOf("plain", plain[index]?.digest ?? "")));
      expect(opened("ours", layer, options)).toEqual(original);
    }
    // Another reader takes the layout for an image.
    skopeo(["oci:ours:one", "oci:copied:one"]);
    expect(layersOf("copied").map(({ digest }) => digest)).toEqual(layersOf("ours").map(({ digest }) => digest));
    await stack.put("default/image-kek/test", randomBytes(32));
    const [layer] = layersOf("ours");
    await expect(unwrapped(annotation(layer as Layer, KEYS_ANNOTATION))).rejects.toThrow("this key does not open it");
  });

  it("have keys that the key provider wraps and the hub unwraps", async () => {
    const key = randomBytes(32);
    writeFileSync(join(folder, "kek2"), key);
    await stack.put("default/image-kek/two", key);
    const log: string[] = [];
    await using provider = await serveKeyProvider({
      host: "127.0.0.1",
      port: 0,
      registry: undefined,
      log: (line) => log.push(line),
    });
    const wrap = async (parameters: string): Promise<string> => {
      const output = await keyProvider(provider.port, "WrapKey", wrapping(parameters, "options of a layer"));
      return Buffer.from((output["keywrapresults"] as { annotation: number[] }).annotation).toString();
    };
    const packet = await wrap(`keyid=kbs:///default/image-kek/two::keypath=${folder}/kek2::algorithm=A256CTR`);
    expect(parsePacket(packet)).toMatchObject({ kid: "kbs:///default/image-kek/two", wrapped: { type: "A256CTR" } });
    expect((await unwrapped(packet)).toString()).toBe("options of a layer");
    expect(log.join("\n")).toContain("wrapped the key of a layer for kbs:///default/image-kek/two");
    for (const [parameters, why] of [
      ["keyid=kbs:///a/b/c", "no key broker takes a new key"],
      [`keyid=x::keypath=${folder}/kek2`, "expected a key's name"],
      [`keypath=${folder}/none`, "the key's file cannot be read"],
      [`keypath=${folder}/ocicrypt`, "the key's file cannot be read"],
      ["sample=true", "expected keyid="],
    ] as const) {
      await expect(wrap(parameters)).rejects.toThrow(why);
    }
    await expect(keyProvider(provider.port, "UnWrapKey", {})).rejects.toThrow("only a guest unwraps keys");
  });

  it("have keys that the key provider registers with the broker", async () => {
    const token = adminToken(join(stack.folder, "broker"), 1, Date.now());
    await using provider = await serveKeyProvider({
      host: "127.0.0.1",
      port: 0,
      registry: { url: stack.brokerUrl, token },
      log: () => {},
    });
    const output = await keyProvider(
      provider.port,
      "WrapKey",
      wrapping("keyid=kbs:///default/image-kek/new", "secret"),
    );
    const { annotation: packet } = output["keywrapresults"] as { annotation: number[] };
    expect((await unwrapped(Buffer.from(packet).toString())).toString()).toBe("secret");
    await using stranger = await serveKeyProvider({
      host: "127.0.0.1",
      port: 0,
      registry: { url: stack.brokerUrl, token: "nobody's" },
      log: () => {},
    });
    await expect(keyProvider(stranger.port, "WrapKey", wrapping("", "secret"))).rejects.toThrow(
      "the key broker refused the key",
    );
  });

  const privateKey = vectors("ocicrypt/private_key8.pem");
  const publicKey = vectors("ocicrypt/public_key.pem");
  it("encrypted by skopeo alone (JWE) have layers as ours", async () => {
    const pair = generateKeyPairSync("rsa", {
      modulusLength: 2048,
      publicKeyEncoding: { type: "spki", format: "pem" },
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
    });
    const recorded = privateKey !== undefined && publicKey !== undefined;
    if (!recorded) writeFileSync(join(folder, "public.pem"), pair.publicKey);
    skopeo(["--encryption-key", `jwe:${recorded ? publicKey : "public.pem"}`, "oci:plain:one", "oci:jwe:one"]);
    const [layer] = layersOf("jwe");
    const jwe = JSON.parse(annotation(layer as Layer, "org.opencontainers.image.enc.keys.jwe")) as GeneralJWE & {
      header?: object;
    };
    const key = await importPKCS8(recorded ? readFileSync(privateKey, "utf8") : pair.privateKey, "RSA-OAEP");
    const general =
      jwe.recipients === undefined
        ? { ...jwe, recipients: [{ encrypted_key: (jwe as unknown as { encrypted_key: string }).encrypted_key }] }
        : jwe;
    const { plaintext } = await generalDecrypt(general, key);
    const [plain] = layersOf("plain");
    expect(opened("jwe", layer as Layer, plaintext)).toEqual(
      readFileSync(join(folder, blobOf("plain", plain?.digest ?? ""))),
    );
    expect(parsePrivateOptions(plaintext).digest).toBe(plain?.digest);
  });
});
