import { createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { extendedOnce, parseQuote, parseSignature, verifyQuote } from "../../src/verifier/tpm/attest.ts";
import { tpmVerifier, tpmVerifierOf } from "../../src/verifier/tpm/tpm-verifier.ts";
import { vectors } from "../../../../test/setup/data.ts";
import { ecKey, rsaKey } from "../certificates.ts";
import { seeded } from "../../../../test/fixtures/seeded.ts";
import { flipped, mutated } from "../random.ts";
import { attest, registers, signQuote, tpmEvidence, tpmKey } from "./tpm-evidence.ts";

const reportData = Buffer.alloc(48, 5);
const nonce = reportData.subarray(0, 32);

describe("evidence of a TPM", () => {
  it("gives nonce, key and registers as claims", async () => {
    const evidence = tpmEvidence(nonce, registers());
    const [verified] = await tpmVerifier.verify(evidence, { reportData });
    expect(verified).toMatchObject({
      teeClass: "cpu",
      claims: {
        report_data: nonce.toString("hex"),
        init_data: "08".repeat(32),
        ak_public: evidence["ak_public"],
        pcr00: "00".repeat(32),
        pcr23: "17".repeat(32),
      },
    });
  });

  it("is by one of the trusted keys, where there are such", async () => {
    const evidence = tpmEvidence(nonce, registers());
    const own = createPublicKey({
      key: Buffer.from(String(evidence["ak_public"]), "base64"),
      format: "der",
      type: "spki",
    });
    expect(await tpmVerifierOf([ecKey().publicKey, own]).verify(evidence, { reportData })).toHaveLength(1);
    for (const trusted of [[], [ecKey().publicKey]]) {
      await expect(tpmVerifierOf(trusted).verify(evidence, { reportData })).rejects.toMatchObject({
        code: "signature",
        message: "TPM evidence: expected a trusted attestation key",
      });
    }
  });

  it("is bound to initdata through register 8", async () => {
    const initDataDigest = Buffer.alloc(32, 9);
    const evidence = tpmEvidence(nonce, registers(extendedOnce(initDataDigest)));
    await tpmVerifier.verify(evidence, { reportData, initDataDigest });
    await expect(tpmVerifier.verify(evidence, { initDataDigest: Buffer.alloc(32, 8) })).rejects.toThrow("register 8");
    await expect(tpmVerifier.verify(evidence, { initDataDigest: Buffer.alloc(48) })).rejects.toThrow(
      "digests of 32 bytes, got 48",
    );
  });

  it("is refused for another nonce", async () => {
    const evidence = tpmEvidence(nonce, registers());
    await expect(tpmVerifier.verify(evidence, { reportData: Buffer.alloc(48) })).rejects.toMatchObject({
      code: "mismatch",
    });
  });

  it("is refused with other registers than were quoted", async () => {
    const evidence = tpmEvidence(nonce, registers());
    const other = tpmEvidence(nonce, registers(Buffer.alloc(32)));
    const mixed = {
      ...evidence,
      tpm_quote: { ...(evidence["tpm_quote"] as object), pcrs: (other["tpm_quote"] as { pcrs: unknown }).pcrs },
    };
    await expect(tpmVerifier.verify(mixed, {})).rejects.toThrow("not that of the registers");
  });

  it("is refused with another key, one of another kind or a short one", async () => {
    const evidence = tpmEvidence(nonce, registers());
    for (const key of [rsaKey(), ecKey(), rsaKey(1024)]) {
      const ak_public = key.publicKey.export({ type: "spki", format: "der" }).toString("base64");
      await expect(tpmVerifier.verify({ ...evidence, ak_public }, {})).rejects.toMatchObject({ code: "signature" });
    }
  });

  it.each([
    ["another structure than a quote", "ff5443478017"],
    ["a structure that the TPM did not make", "ff5443468018"],
  ])("is refused as %s", (_, head) => {
    const message = attest(nonce, registers());
    Buffer.from(head, "hex").copy(message);
    expect(() => parseQuote(message)).toThrow("TPM structure: expected");
  });

  it.each([
    ["fewer registers", "00000001 000b 03 ffff7f"],
    ["no registers", "00000001 000b 00"],
    ["another bank", "00000001 000c 03 ffffff"],
    ["two banks", "00000002 000b 03 ffffff 0004 03 000000"],
    ["registers beyond", "00000001 000b 04 ffffff01"],
  ])("is refused over %s", (_, select) => {
    const message = attest(nonce, registers(), select);
    expect(() => verifyQuote(message, signQuote(message), registers(), tpmKey().publicKey)).toThrow("expected");
  });

  it("is refused after a change of any byte of message or signature", () => {
    const message = attest(nonce, registers());
    const signature = signQuote(message);
    const check = (m: Buffer, s: Buffer): unknown => verifyQuote(m, s, registers(), tpmKey().publicKey);
    check(message, signature);
    message.forEach((_, at) => expect(() => check(flipped(message, at, at % 8), signature)).toThrow());
    signature.forEach((_, at) => expect(() => check(message, flipped(signature, at, at % 8))).toThrow());
  });

  it("is read or refused, whatever the bytes (seed 30)", () => {
    const random = seeded(30);
    const message = attest(nonce, registers());
    const signature = Buffer.concat([Buffer.from("0014000b0100", "hex"), Buffer.alloc(256)]);
    for (let i = 0; i < 5000; i++) {
      for (const [parse, bytes] of [
        [parseQuote, message],
        [parseSignature, signature],
      ] as const) {
        try {
          parse(mutated(bytes, random));
        } catch (error) {
          expect(error).toHaveProperty("name", "TrusteeError");
        }
      }
    }
  });
});

const recorded = vectors("attestation/tpm_evidence.json");
if (recorded !== undefined) {
  it("a recorded quote is genuine, and its nonce of 64 bytes is not the one of today's guests", async () => {
    const evidence = JSON.parse(readFileSync(recorded, "utf8")) as unknown;
    const [verified] = await tpmVerifier.verify(evidence, {});
    const digest = String(verified?.claims["report_data"]);
    expect(digest).toHaveLength(128);
    expect(verified?.claims["init_data"]).toHaveLength(64);
    await expect(tpmVerifier.verify(evidence, { reportData: Buffer.from(digest, "hex") })).rejects.toThrow("nonce");
  });

  it("a recorded quote is refused after a change of any byte of message, signature, registers or key", async () => {
    interface Evidence {
      readonly ak_public: string;
      readonly tpm_quote: { readonly message: string; readonly signature: string; readonly pcrs: readonly string[] };
    }
    const evidence = JSON.parse(readFileSync(recorded, "utf8")) as Evidence;
    const { message, signature, pcrs } = evidence.tpm_quote;
    const refused = async (change: Partial<Evidence["tpm_quote"]> & { readonly ak_public?: string }, what: string) => {
      const { ak_public = evidence.ak_public, ...quote } = change;
      const verifying = tpmVerifier.verify({ ak_public, tpm_quote: { ...evidence.tpm_quote, ...quote } }, {});
      await expect(verifying, what).rejects.toHaveProperty("name", "TrusteeError");
    };
    for (const [name, text] of Object.entries({ message, signature })) {
      const bytes = Buffer.from(text, "base64");
      for (let at = 0; at < bytes.length; at++) {
        await refused({ [name]: flipped(bytes, at, at % 8).toString("base64") }, `${name} ${at}`);
      }
    }
    for (const [index, value] of pcrs.entries()) {
      const bytes = Buffer.from(value, "hex");
      for (let at = 0; at < bytes.length; at += 5) {
        await refused({ pcrs: pcrs.with(index, flipped(bytes, at, at % 8).toString("hex")) }, `register ${index}`);
      }
    }
    const key = Buffer.from(evidence.ak_public, "base64");
    for (let at = 0; at < key.length; at++) {
      await refused({ ak_public: flipped(key, at, at % 8).toString("base64") }, `key ${at}`);
    }
  });
}
