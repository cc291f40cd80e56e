import { describe, expect, it } from "vitest";

import {
  formatAdditionalEvidence,
  formatAttestRequest,
  formatAuthRequest,
  formatKbsError,
  KbsProtocolError,
  parseAttestRequest,
  parseAuthRequest,
  parseChallenge,
  parseKbsError,
  parseTee,
  parseTokenReply,
  primaryRuntimeData,
  deviceRuntimeData,
  reportData,
  selectedHash,
  TeeKey,
} from "../../src/index.ts";
import { generator } from "../random.ts";

const KEY = {
  alg: "ECDH-ES+A256KW",
  crv: "P-256",
  kty: "EC",
  x: "SKD_uf3NPioLUfnKvXJeN8iPd-Jxm69RyrO0KlvhZ0Q",
  y: "TGdiU4_X1J9OUZq2y8SdQTu5w3G0sjxaAkCLf64Aedk",
} as const;
const RUNTIME = { nonce: "xAnjvzfNk9x6wU7SkbVQ58U80EI9YiS5XmD3tvhlZJE=", "tee-pubkey": KEY };

describe("the auth request", () => {
  it("has the version, the tee and the digests on offer", () => {
    expect(formatAuthRequest("snp")).toBe(
      '{"version":"0.4.0","tee":"snp","extra-params":{"supported-hash-algorithms":["sha256","sha384","sha512","sm3"]}}',
    );
    expect(parseAuthRequest(formatAuthRequest("snp"))).toMatchObject({ version: "0.4.0", tee: "snp" });
    expect(parseAuthRequest('{"version":"9","tee":"nvidiadpu","extra-params":null}').tee).toBe("nvidia-dpu");
  });

  it.each([
    ["{}"],
    ['{"version":"0.4.0","tee":"snp"}'],
    ['{"version":"0.4.0","tee":"Snp","extra-params":""}'],
    ['{"version":4,"tee":"snp","extra-params":""}'],
    ['{"version":"0.4.0","version":"0.4.0","tee":"snp","extra-params":""}'],
  ])("is not %s", (text) => {
    expect(() => parseAuthRequest(text)).toThrow(KbsProtocolError);
  });
});

describe("the challenge", () => {
  it("selects a digest", () => {
    const select = (extra: string): string => selectedHash(parseChallenge(`{"nonce":"n","extra-params":${extra}}`));
    expect(select('""')).toBe("sha384");
    expect(select("{}")).toBe("sha384");
    expect(select('{"selected-hash-algorithm":"SHA512"}')).toBe("sha512");
    for (const extra of ['{"selected-hash-algorithm":"md5"}', '{"selected-hash-algorithm":5}']) {
      expect(() => select(extra)).toThrow("expected one of sha256, sha384, sha512, sm3");
    }
  });

  it("has a nonce, and is not long", () => {
    expect(() => parseChallenge('{"nonce":""}')).toThrow("expected the text nonce");
    expect(() => parseChallenge(`"${"x".repeat(70_000)}"`)).toThrow("expected at most 65536 characters");
  });
});

describe("report data", () => {
  it("is that of a recorded handshake", () => {
    expect(reportData(primaryRuntimeData(RUNTIME, "")).toString("base64")).toBe(
      "TM10E9UiLTvQ3+5NCWMZBvWz/C8G1ou0qX5Se7i8QHOQXYq/wUQQy6rsrVtexuFu",
    );
  });

  it("of a device says nothing of other devices", () => {
    expect(deviceRuntimeData(primaryRuntimeData(RUNTIME, "{}"))).toEqual(RUNTIME);
    expect(reportData(RUNTIME, "sha256")).toHaveLength(32);
    expect(reportData(RUNTIME, "sm3")).toHaveLength(32);
  });
});

describe("the attest request", () => {
  it("carries evidence as its platform wrote it", () => {
    const text = formatAttestRequest({
      "init-data": { format: "toml", body: 'x = "y"' },
      "runtime-data": RUNTIME,
      primaryEvidence: '{"policy":18446744073709551615}',
      additionalEvidence: formatAdditionalEvidence(new Map([["sampledevice", '{"svn":"2"}']])),
    });
    expect(text).toContain('"primary_evidence":{"policy":18446744073709551615}');
    expect(parseAttestRequest(text)).toEqual({
      "init-data": { format: "toml", body: 'x = "y"' },
      "runtime-data": RUNTIME,
      "tee-evidence": {
        primary_evidence: { policy: 18_446_744_073_709_551_615n },
        additional_evidence: '{"sampledevice":{"svn":"2"}}',
      },
    });
  });

  it("may have no initdata, and a key may have members that do not count", () => {
    const key = JSON.stringify({ ...KEY, kid: "x", use: "enc" });
    const text = `{"runtime-data":{"nonce":"n","tee-pubkey":${key}},"tee-evidence":{"primary_evidence":1,"additional_evidence":""}}`;
    expect(parseAttestRequest(text)).toMatchObject({ "init-data": null, "runtime-data": { "tee-pubkey": KEY } });
    expect(Object.keys(parseAttestRequest(text)["runtime-data"]["tee-pubkey"])).not.toContain("kid");
  });

  it("keeps its form, whatever comes", () => {
    const whole = formatAttestRequest({
      "init-data": null,
      "runtime-data": RUNTIME,
      primaryEvidence: "{}",
      additionalEvidence: "",
    });
    const random = generator(11);
    for (let round = 0; round < 5000; round++) {
      const bytes = Buffer.from(whole);
      for (let change = 0; change <= random(3); change++) bytes.writeUInt8(32 + random(95), random(bytes.length));
      try {
        expect(typeof parseAttestRequest(bytes.toString("latin1"))["runtime-data"].nonce).toBe("string");
      } catch (error) {
        expect(error).toBeInstanceOf(KbsProtocolError);
      }
    }
  });
});

describe("replies", () => {
  it("have a token", () => {
    expect(parseTokenReply('{"token":"a.b.c"}')).toBe("a.b.c");
    for (const text of ["{}", '{"token":1}', '{"token":""}']) {
      expect(() => parseTokenReply(text)).toThrow("attest reply: expected the text token");
    }
  });

  it("say what was refused", () => {
    const { status, body } = formatKbsError("PolicyDeny", "no");
    expect(status).toBe(401);
    expect(parseKbsError(body)).toEqual({ variant: "PolicyDeny", detail: "no" });
    expect(formatKbsError("PluginNotFound", "no").status).toBe(404);
    for (const text of ["", "<html>", "{}", '{"type":"x","detail":"y"}', body.replace("PolicyDeny", "a b")]) {
      expect(parseKbsError(text)).toBeUndefined();
    }
  });

  it("know each tee by one name", () => {
    expect(parseTee("az-tdx-vtpm")).toBe("az-tdx-vtpm");
    expect(parseTee("aztdxvtpm")).toBeUndefined();
  });
});

describe("a key", () => {
  it("has coordinates of full length", async () => {
    for (let round = 0; round < 300; round++) {
      const { publicKey } = await TeeKey.generate("ECDH-ES+A256KW-P521");
      expect(publicKey).toMatchObject({ kty: "EC", x: expect.stringMatching(/^.{88}$/u) as string });
    }
  });

  it("is not read from anything", () => {
    expect(() => TeeKey.fromPem(Buffer.from("x"))).toThrow("expected a private key in PEM");
  });
});
