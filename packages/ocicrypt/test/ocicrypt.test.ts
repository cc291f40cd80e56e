import { createCipheriv, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { vectors } from "../../../test/setup/data.ts";
import {
  decryptedMediaType,
  decryptLayer,
  encryptedMediaType,
  encryptLayer,
  formatPacket,
  formatPrivateOptions,
  formatPublicOptions,
  formatUnwrapOutput,
  formatWrapOutput,
  isBrokerPacket,
  OcicryptError,
  parsePacket,
  parsePrivateOptions,
  parsePublicOptions,
  parseUnwrapInput,
  parseUnwrapOutput,
  parseWrapInput,
  unwrap,
  wrap,
} from "../src/index.ts";

const key = Buffer.from(Array.from({ length: 32 }, (_, i) => i));
const base64 = (text: string | Uint8Array): string => Buffer.from(text).toString("base64");
const packet = (more: object = {}): string =>
  JSON.stringify({ kid: "kbs:///a/b/c", wrapped_data: base64("x"), iv: base64("y"), wrap_type: "A256GCM", ...more });

describe("wrapping", () => {
  it("opens what the recording's Rust hub opened", () => {
    const data = Buffer.from("dZ7arsFfoYcqz8ZZfEn/u6/1WU693gsxlrC65T6HVEj4", "base64");
    expect(unwrap({ type: "A256GCM", iv: Buffer.alloc(12), data }, key).toString()).toBe('{"opts":"golden"}');
  });

  it.each(["A256GCM", "A256CTR"] as const)("%s goes both ways", (type) => {
    const iv = randomBytes(type === "A256GCM" ? 12 : 16);
    const data = wrap(type, key, iv, Buffer.from("plain"));
    expect(unwrap({ type, iv, data }, key).toString()).toBe("plain");
    expect(() => unwrap({ type, iv: iv.subarray(1), data }, key)).toThrow(`${type}: expected an IV of`);
    expect(() => unwrap({ type, iv, data }, key.subarray(1))).toThrow("key: expected 32 bytes, got 31");
  });

  it("refuses what was changed, and what has no tag", () => {
    const iv = Buffer.alloc(12);
    const data = wrap("A256GCM", key, iv, Buffer.from("plain"));
    for (let at = 0; at < data.length; at++) {
      const changed = Buffer.from(data);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(() => unwrap({ type: "A256GCM", iv, data: changed }, key)).toThrow("this key does not open it");
    }
    expect(() => unwrap({ type: "A256GCM", iv, data: data.subarray(0, 15) }, key)).toThrow("expected a tag");
  });
});

describe("packets", () => {
  const upstream = vectors("cdh/annotation-packet-v1.json");
  it(upstream === undefined ? "of version 1 go both ways" : "of version 1 are upstream's", () => {
    const text = upstream === undefined ? packet() : readFileSync(upstream, "utf8");
    const read = parsePacket(text);
    expect(isBrokerPacket(read)).toBe(true);
    if (isBrokerPacket(read)) expect(JSON.parse(formatPacket(read))).toEqual(JSON.parse(text));
  });

  it("of version 2 name a provider", () => {
    expect(isBrokerPacket(parsePacket(packet({ version: "0.1.0" })))).toBe(true);
    const settings = { version: "0.1.0", provider_settings: { region: "x" }, annotations: { a: 1 } };
    expect(isBrokerPacket(parsePacket(packet({ ...settings, provider: "kbs" })))).toBe(true);
    expect(parsePacket(packet({ ...settings, provider: "aws", iv: undefined, wrap_type: undefined }))).toEqual({
      provider: "aws",
      kid: "kbs:///a/b/c",
      data: Buffer.from("x"),
      settings: { region: "x" },
      annotations: { a: 1 },
    });
  });

  it.each([
    ["nope", "expected JSON"],
    ["[]", "expected an object"],
    [packet({ kid: undefined }), "expected the text kid"],
    [packet({ wrapped_data: "x" }), "wrapped_data: expected base64"],
    [packet({ iv: undefined }), "iv: expected base64"],
    [packet({ wrap_type: "zz" }), "wrap type: expected A256GCM or A256CTR"],
    [packet({ version: "0.2.0" }), "expected version 0.1.0"],
    [packet({ version: "0.1.0", provider: 1 }), "expected the text provider"],
    [packet({ version: "0.1.0", annotations: [] }), "annotations: expected an object"],
    [`"${"x".repeat(256 * 1024)}"`, "expected at most"],
  ])("refuses %s", (text, why) => {
    expect(() => parsePacket(text)).toThrow(why);
    expect(() => parsePacket(text)).toThrow(OcicryptError);
  });
});

describe("the key provider's messages", () => {
  const input = (params: object): Buffer => Buffer.from(JSON.stringify(params));
  const wrapping = { ec: { Parameters: { "attestation-agent": [base64("keyid=x")] } }, optsdata: base64("options") };

  it("are read", () => {
    const unwrapping = { dc: { Parameters: {} }, annotation: base64("packet") };
    expect(parseUnwrapInput(input({ op: "x", keywrapparams: {}, keyunwrapparams: unwrapping }))).toBe("packet");
    expect(parseWrapInput(input({ op: "keywrap", keywrapparams: wrapping }), "attestation-agent")).toEqual({
      options: Buffer.from("options"),
      parameters: ["keyid=x"],
    });
  });

  it.each([
    ["", "expected JSON"],
    ["{}", "keywrapparams: expected an object"],
    ['{"keywrapparams":{}}', "keyunwrapparams: expected an object"],
    ['{"keywrapparams":{},"keyunwrapparams":{}}', "annotation: expected base64"],
  ])("refuses to unwrap %j", (text, why) => {
    expect(() => parseUnwrapInput(Buffer.from(text))).toThrow(why);
  });

  it.each([
    [{}, "keywrapparams: expected an object"],
    [{ keywrapparams: {} }, "ec: expected an object"],
    [{ keywrapparams: { ec: { Parameters: {} } } }, "expected parameters of p"],
    [{ keywrapparams: { ec: { Parameters: { p: [1] } } } }, "expected base64"],
  ])("refuses to wrap %j", (message, why) => {
    expect(() => parseWrapInput(input(message), "p")).toThrow(why);
  });

  it("hold bytes as numbers", () => {
    const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    const text = formatUnwrapOutput(all).toString();
    expect(JSON.parse(text)).toEqual({ keyunwrapresults: { optsdata: [...all] } });
    expect(text).not.toContain(" ");
    expect(formatUnwrapOutput(Buffer.alloc(0)).toString()).toBe('{"keyunwrapresults":{"optsdata":[]}}');
    expect(JSON.parse(formatWrapOutput("{}").toString())).toEqual({ keywrapresults: { annotation: [0x7b, 0x7d] } });
    expect(parseUnwrapOutput(Buffer.from(text))).toEqual(all);
    expect(parseUnwrapOutput(input({ keyunwrapresults: { optsdata: base64("x") } })).toString()).toBe("x");
    expect(() => parseUnwrapOutput(input({ keyunwrapresults: { optsdata: [256] } }))).toThrow("expected bytes");
  });
});

describe("a layer", () => {
  const options = { key, nonce: randomBytes(16), digest: "sha256:00" };

  it("is encrypted as another implementation has it, and opened", () => {
    const plain = randomBytes(100_000);
    const encryption = encryptLayer(options);
    const data = Buffer.concat([encryption.update(plain.subarray(0, 777)), encryption.update(plain.subarray(777))]);
    expect(data).toEqual(createCipheriv("aes-256-ctr", key, options.nonce).update(plain));
    const hmac = parsePublicOptions(formatPublicOptions(encryption.finish()));
    const read = parsePrivateOptions(formatPrivateOptions(options));
    expect(read).toEqual(options);
    const decryption = decryptLayer(read, hmac);
    const back = Buffer.concat([decryption.update(data.subarray(0, 50_001)), decryption.update(data.subarray(50_001))]);
    decryption.finish();
    expect(back).toEqual(plain);
    const wrong = decryptLayer(read, hmac);
    wrong.update(data.subarray(1));
    expect(() => wrong.finish()).toThrow("its HMAC is another");
  });

  it.each([
    ['{"symkey":"eA==","digest":"","cipheroptions":{"nonce":"eA=="}}', "expected 32 bytes of key and 16 of nonce"],
    ['{"symkey":"eA=="}', "cipheroptions: expected an object"],
    ["{}", "symkey: expected base64"],
  ])("has private options unlike %s", (json, why) => {
    expect(() => parsePrivateOptions(Buffer.from(json))).toThrow(why);
  });

  it("has public options of one cipher", () => {
    expect(() => parsePublicOptions('{"cipher":"AES_128","hmac":"eA=="}')).toThrow("expected the cipher");
    expect(() => parsePublicOptions('{"cipher":"AES_256_CTR_HMAC_SHA256","hmac":"eA=="}')).toThrow("32 bytes of HMAC");
  });

  it("changes its media type", () => {
    const gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
    expect(encryptedMediaType(gzip)).toBe(`${gzip}+encrypted`);
    expect(encryptedMediaType("application/vnd.docker.image.rootfs.diff.tar.gzip")).toBe(`${gzip}+encrypted`);
    expect(decryptedMediaType(`${gzip}+encrypted`)).toBe(gzip);
    expect(encryptedMediaType(`${gzip}+encrypted`)).toBeUndefined();
    expect(encryptedMediaType("application/vnd.oci.image.config.v1+json")).toBeUndefined();
  });
});

describe("hostile bytes (seeded)", () => {
  /** xorshift: the same on every run. */
  let state = 0x9e3779b9;
  const next = (below: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
  const seeds = [
    packet({ version: "0.1.0", provider: "aws", provider_settings: {}, annotations: {} }),
    JSON.stringify({
      keywrapparams: { ec: { Parameters: { p: ["eA=="] } }, optsdata: "eA==" },
      keyunwrapparams: { annotation: "e30=" },
    }),
    formatPrivateOptions({ key, nonce: Buffer.alloc(16), digest: "d" }).toString(),
    formatPublicOptions(Buffer.alloc(32)),
  ];
  it("give a value or an OcicryptError", () => {
    for (let round = 0; round < 4000; round++) {
      const bytes = Buffer.from(seeds[next(seeds.length)] ?? "");
      for (let changes = next(4); changes >= 0; changes--) bytes[next(bytes.length)] = next(256);
      const cut = bytes.subarray(0, next(8) === 0 ? next(bytes.length) : bytes.length);
      for (const decode of [
        () => parsePacket(cut.toString()),
        () => parseUnwrapInput(cut),
        () => parseWrapInput(cut, "p"),
        () => parseUnwrapOutput(cut),
        () => parsePrivateOptions(cut),
        () => parsePublicOptions(cut.toString()),
      ]) {
        try {
          decode();
        } catch (error) {
          expect(error).toBeInstanceOf(OcicryptError);
        }
      }
    }
  });
});
