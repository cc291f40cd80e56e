import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto";

import { TrusteeError } from "../../error.ts";
import { expectChain, expectValidAt } from "../certificate.ts";
import type { TdQuote } from "./quote.ts";

/**
 * Intel's SGX root key on P-256, x and y; its certificate's SHA-256 is 44a0196b2b99f889b8e149e95b807a350e74249643
 * 99e885a7cbb8ccfab674d3 (certificates.trustedservices.intel.com).
 */
const INTEL_ROOT = "C6nEwMDIYZOj/iPWsCzaEKi71OiOSLRFhWGjbnBVJfVnkY4u3IjkDYYL0MxO4mqsyYjlBalTVYxFP2sJBK5zlA==";

export function intelRootKey(): KeyObject {
  return p256(Buffer.from(INTEL_ROOT, "base64"));
}

/**
 * Checks a quote's signatures: root to PCK certificate, PCK to the quoting enclave's report, that report to the
 * attestation key, the attestation key to the TD's report. Whether platform and enclave are up to date is not said by
 * this. `now` in Unix milliseconds. Throws `signature`.
 */
export function verifyQuoteSignatures(quote: TdQuote, now: number, root: KeyObject = intelRootKey()): void {
  const [pck, , anchor] = quote.chain;
  if (pck === undefined || anchor === undefined) throw bad("a chain of certificates");
  if (!anchor.publicKey.equals(root)) throw bad("a chain that ends at Intel's root");
  expectChain([...quote.chain, anchor], "TDX quote: PCK chain");
  quote.chain.forEach((certificate, at) => expectValidAt(certificate, now, `TDX quote: PCK chain: certificate ${at}`));
  expectSignature(quote.qeReport, quote.qeReportSignature, pck.publicKey, "the quoting enclave's report");
  const bound = createHash("sha256").update(quote.attestationKey).update(quote.qeAuthData).digest();
  const reportData = quote.qeReport.subarray(320, 384);
  if (!reportData.equals(Buffer.concat([bound, Buffer.alloc(32)])))
    throw bad("a quoting enclave that vouches for the attestation key");
  expectSignature(quote.signed, quote.signature, p256(quote.attestationKey), "the TD's report");
}

/** Intel's signatures are r and s of 32 bytes each. */
function expectSignature(data: Buffer, signature: Buffer, key: KeyObject, what: string): void {
  if (key.asymmetricKeyDetails?.namedCurve !== "prime256v1") throw bad(`a key on P-256 for ${what}`);
  if (!verify("sha256", data, { key, dsaEncoding: "ieee-p1363" }, signature)) throw bad(`the signature of ${what}`);
}

/** A key from its coordinates. One that is not on the curve is no key. */
function p256(point: Buffer): KeyObject {
  const [x, y] = [point.subarray(0, 32), point.subarray(32, 64)].map((part) => part.toString("base64url"));
  try {
    return createPublicKey({ key: { kty: "EC", crv: "P-256", x: x ?? "", y: y ?? "" }, format: "jwk" });
  } catch (cause) {
    throw new TrusteeError("signature", "TDX quote: expected a point on P-256", { cause });
  }
}

function bad(expected: string): TrusteeError {
  return new TrusteeError("signature", `TDX quote: expected ${expected}`);
}
