import { createPublicKey, type KeyObject } from "node:crypto";

import { TrusteeError } from "../../error.ts";
import { FieldReader } from "../../fields.ts";
import { expectSame, fit } from "../sample.ts";
import type { Expected, VerifiedClaims, Verifier } from "../verifier.ts";
import { extendedOnce, parsePcrs, parseSignature, PCR_COUNT, pcrClaims, verifyQuote } from "./attest.ts";

const MAX_BLOB = 4096;
/** Bytes of the quote's nonce: guests cut the digest of the runtime data to them. */
export const TPM_REPORT_DATA = 32;
/** The register that initdata is extended into. */
export const INITDATA_PCR = 8;

/**
 * Evidence of a TPM of its own: a quote, its registers, and the public part of the attestation key. Whether that key is
 * one to trust, the attestation policy says (claim `ak_public`, reference value `trusted_aks`).
 */
export const tpmVerifier: Verifier = tpmVerifierOf();

/** As {@link tpmVerifier}, of these attestation keys alone where they are given; of none where the list is empty. */
export function tpmVerifierOf(trusted?: readonly KeyObject[]): Verifier {
  return { verify: async (evidence, expected) => [verifyTpm(evidence, expected, trusted)] };
}

function verifyTpm(evidence: unknown, expected: Expected, trusted?: readonly KeyObject[]): VerifiedClaims {
  const reader = new FieldReader(evidence, "TPM evidence", "evidence");
  const quoted = reader.object("tpm_quote");
  const pcrs = parsePcrs(quoted.list("pcrs", PCR_COUNT), "TPM evidence");
  const signature = parseSignature(quoted.base64("signature", MAX_BLOB));
  const key = attestationKey(reader.base64("ak_public", MAX_BLOB));
  if (trusted?.some((one) => one.equals(key)) === false)
    throw new TrusteeError("signature", "TPM evidence: expected a trusted attestation key");
  const quote = verifyQuote(quoted.base64("message", MAX_BLOB), signature, pcrs, key);
  expectSame(quote.extraData, fit(expected.reportData, TPM_REPORT_DATA), "TPM quote: nonce");
  const initdata = pcrs[INITDATA_PCR] ?? Buffer.alloc(0);
  if (expected.initDataDigest !== undefined) {
    expectSame(initdata, extendedOnce(expected.initDataDigest), `TPM quote: register ${INITDATA_PCR}`);
  }
  const claims = {
    init_data: initdata.toString("hex"),
    report_data: quote.extraData.toString("hex"),
    ak_public: reader.text("ak_public"),
    ...pcrClaims(pcrs),
  };
  return { teeClass: "cpu", claims };
}

/** Policies compare its text, so only the one form counts in which a key is written. */
function attestationKey(spki: Buffer): KeyObject {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: spki, format: "der", type: "spki" });
  } catch (cause) {
    throw new TrusteeError("evidence", "TPM evidence: expected a public key in ak_public", { cause });
  }
  if (key.export({ format: "der", type: "spki" }).equals(spki)) return key;
  throw new TrusteeError("evidence", "TPM evidence: expected ak_public in DER and nothing else");
}
