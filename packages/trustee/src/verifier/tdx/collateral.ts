import { type KeyObject, verify, type X509Certificate } from "node:crypto";

import { TrusteeError } from "../../error.ts";
import { FieldReader } from "../../fields.ts";
import { parseJson } from "../../json.ts";
import { expectChain, expectValidAt, parsePemChain } from "../certificate.ts";
import { parseRevocationList, type RevocationList } from "./revocation.ts";

/** What Intel publishes about a platform, as it came: signed documents and lists of revoked certificates. */
export interface TdxCollateral {
  /** `{"tcbInfo":{…},"signature":"…"}` and the PEM chain of its signer. */
  readonly tcbInfo: string;
  readonly tcbInfoChain: string;
  /** `{"enclaveIdentity":{…},"signature":"…"}` and the PEM chain of its signer. */
  readonly qeIdentity: string;
  readonly qeIdentityChain: string;
  /** DER: revoked by the root, and by the authority that issued the platform's certificate. */
  readonly rootCrl: Buffer;
  readonly pckCrl: Buffer;
}

/** Where collateral comes from: files, Intel's service, or a cache of it. Throws `collateral`. */
export interface CollateralSource {
  find(fmspc: string, authority: "platform" | "processor"): Promise<TdxCollateral>;
}

/** Collateral whose signatures were checked. */
export interface TrustedCollateral {
  readonly tcbInfo: unknown;
  readonly qeIdentity: unknown;
  readonly rootCrl: RevocationList;
  readonly pckCrl: RevocationList;
  /** The moments that matter, in Unix milliseconds. */
  readonly issued: readonly number[];
  readonly expires: readonly number[];
}

/**
 * Checks that Intel signed it all, and that neither signer was revoked. Whether it is still current is for whoever looks
 * at `expires`. Throws `collateral`.
 */
export function trustCollateral(
  collateral: TdxCollateral,
  pckIssuer: X509Certificate,
  root: KeyObject,
  now: number,
): TrustedCollateral {
  const rootCrl = parseRevocationList(collateral.rootCrl, root);
  const pckCrl = parseRevocationList(collateral.pckCrl, pckIssuer.publicKey);
  const check = { root, rootCrl, now };
  const tcbInfo = signedDocument(collateral.tcbInfo, "tcbInfo", collateral.tcbInfoChain, check);
  const qeIdentity = signedDocument(collateral.qeIdentity, "enclaveIdentity", collateral.qeIdentityChain, check);
  const dates = (name: string): readonly number[] =>
    [tcbInfo, qeIdentity].map((document) => {
      const text = new FieldReader(document, "collateral", "collateral").text(name);
      const time = Date.parse(text);
      if (Number.isNaN(time)) throw new TrusteeError("collateral", `collateral: expected a date in ${name}`);
      return time;
    });
  return {
    tcbInfo,
    qeIdentity,
    rootCrl,
    pckCrl,
    issued: [...dates("issueDate"), rootCrl.thisUpdate, pckCrl.thisUpdate],
    expires: [...dates("nextUpdate"), rootCrl.nextUpdate, pckCrl.nextUpdate],
  };
}

/** The document inside of a signed one. What is signed is its very text, so it is cut out, not written again. */
function signedDocument(
  text: string,
  name: string,
  pemChain: string,
  { root, rootCrl, now }: { readonly root: KeyObject; readonly rootCrl: RevocationList; readonly now: number },
): unknown {
  const chain = parsePemChain(pemChain, `${name}: issuer chain`);
  const [signer, anchor] = [chain[0], chain.at(-1)];
  if (signer === undefined || anchor === undefined || !anchor.publicKey.equals(root)) {
    throw new TrusteeError("collateral", `${name}: expected an issuer chain to Intel's root`);
  }
  expectChain([...chain, anchor], `${name}: issuer chain`);
  for (const certificate of chain) expectValidAt(certificate, now, `${name}: issuer chain`);
  if (rootCrl.revoked.has(signer.serialNumber.toLowerCase()))
    throw new TrusteeError("collateral", `${name}: its signer was revoked`);
  const outer = new FieldReader(parseJson(text, name, "collateral"), name, "collateral");
  const raw = rawMember(text, name);
  const signature = outer.hex("signature", 64);
  if (!verify("sha256", Buffer.from(raw), { key: signer.publicKey, dsaEncoding: "ieee-p1363" }, signature)) {
    throw new TrusteeError("collateral", `${name}: expected Intel's signature`);
  }
  return parseJson(raw, name, "collateral");
}

/** The text of an object that is a member of the outermost one, exactly as it stands there. */
export function rawMember(text: string, name: string): string {
  const start = text.indexOf("{", text.indexOf(`"${name}"`) + name.length + 2);
  if (!text.includes(`"${name}"`) || start < 0) throw new TrusteeError("collateral", `collateral: expected ${name}`);
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    const char = text[at];
    if (char === '"') {
      at = stringEnd(text, at);
    } else if (char === "{") depth++;
    else if (char === "}" && --depth === 0) return text.slice(start, at + 1);
  }
  throw new TrusteeError("collateral", `collateral: expected ${name} to end`);
}

function stringEnd(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at;
}
