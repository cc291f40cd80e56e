import { type KeyObject, X509Certificate } from "node:crypto";

import { TrusteeError } from "../error.ts";
import { children, expectTag, oidText, readOnly, Tag } from "./der.ts";

/** Bytes of one certificate; those of platforms have 1 to 2 KiB. */
export const MAX_CERTIFICATE: number = 16 * 1024;
/** Certificates of one chain. */
export const MAX_CHAIN = 8;

/** Reads a certificate in DER. Throws `evidence`. */
export function parseCertificate(der: Uint8Array, what: string): X509Certificate {
  if (der.length > MAX_CERTIFICATE)
    throw new TrusteeError("evidence", `${what}: expected at most ${MAX_CERTIFICATE} bytes`);
  try {
    return new X509Certificate(der);
  } catch (cause) {
    throw new TrusteeError("evidence", `${what}: expected a certificate in DER`, { cause });
  }
}

/** Reads the certificates of a PEM text, in their order. Throws `evidence`. */
export function parsePemChain(pem: string, what: string): readonly X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]*-----END CERTIFICATE-----/gu) ?? [];
  if (blocks.length > MAX_CHAIN)
    throw new TrusteeError("evidence", `${what}: expected at most ${MAX_CHAIN} certificates`);
  return blocks.map((block) => {
    const der = Buffer.from(block.replaceAll(/-----[A-Z ]+-----|\s/gu, ""), "base64");
    return parseCertificate(der, what);
  });
}

/** Extensions of a certificate by dotted object identifier: what is in their octet string. */
export function extensionsOf(certificate: X509Certificate): ReadonlyMap<string, Buffer> {
  const [tbs] = children(readOnly(certificate.raw, Tag.SEQUENCE));
  const wrapper = children(expectTag(tbs, Tag.SEQUENCE)).find(({ tag }) => tag === Tag.CONTEXT_3);
  const map = new Map<string, Buffer>();
  if (wrapper === undefined) return map;
  for (const extension of children(readOnly(wrapper.content, Tag.SEQUENCE))) {
    const parts = children(expectTag(extension, Tag.SEQUENCE));
    const oid = oidText(expectTag(parts[0], Tag.OID));
    if (map.has(oid)) throw new TrusteeError("evidence", `certificate: expected the extension ${oid} once`);
    map.set(oid, expectTag(parts.at(-1), Tag.OCTET_STRING).content);
  }
  return map;
}

/** The issuer's signature alone: neither dates nor names. Throws `signature`. */
export function expectSignedBy(certificate: X509Certificate, issuer: KeyObject, what: string): void {
  let good = false;
  try {
    good = certificate.verify(issuer);
  } catch (cause) {
    throw new TrusteeError("signature", `${what}: its signature cannot be verified`, { cause });
  }
  if (!good) throw new TrusteeError("signature", `${what}: expected its issuer's signature`);
}

/** Valid at this time, in Unix milliseconds. Throws `signature`. */
export function expectValidAt(certificate: X509Certificate, now: number, what: string): void {
  const [from, to] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  if (!(from <= now && now <= to)) {
    throw new TrusteeError(
      "signature",
      `${what}: expected a certificate valid now, got ${certificate.validFrom} to ${certificate.validTo}`,
    );
  }
}

/**
 * A chain, leaf first, each signed by and issued by the name of the next, and each but the leaf a certification authority.
 * Dates are the caller's. Throws `signature`.
 */
export function expectChain(chain: readonly X509Certificate[], what: string): void {
  chain.forEach((certificate, at) => {
    const issuer = chain[at + 1];
    if (at > 0 && !certificate.ca) throw new TrusteeError("signature", `${what}: certificate ${at} is no authority`);
    if (issuer === undefined) return;
    if (!certificate.checkIssued(issuer))
      throw new TrusteeError("signature", `${what}: certificate ${at} was issued by another`);
    expectSignedBy(certificate, issuer.publicKey, `${what}: certificate ${at}`);
  });
}
