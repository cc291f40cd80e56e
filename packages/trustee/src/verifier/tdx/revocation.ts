import { type KeyObject, verify } from "node:crypto";

import { TrusteeError } from "../../error.ts";
import { children, type DerValue, expectTag, readOnly, Tag } from "../der.ts";

/** Bytes of a list; Intel's have a few KiB. */
export const MAX_CRL: number = 4 * 1024 * 1024;

/** A list of revoked certificates (RFC 5280, 5). */
export interface RevocationList {
  /** Serial numbers in lower-case hexadecimal, without leading zeros. */
  readonly revoked: ReadonlySet<string>;
  /** Unix milliseconds. */
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  /** Its number in hexadecimal, "00" where it has none. */
  readonly number: string;
}

const CRL_NUMBER = Buffer.from([0x55, 0x1d, 0x14]);

/** Reads a list signed by this key with ECDSA and SHA-256. Throws `collateral`. */
export function parseRevocationList(der: Buffer, issuer: KeyObject): RevocationList {
  if (der.length > MAX_CRL) throw bad(`at most ${MAX_CRL} bytes`);
  try {
    return read(der, issuer);
  } catch (cause) {
    if (cause instanceof TrusteeError && cause.code === "collateral") throw cause;
    throw new TrusteeError("collateral", "revocation list: cannot be read", { cause });
  }
}

function read(der: Buffer, issuer: KeyObject): RevocationList {
  const [tbs, , signature] = children(readOnly(der, Tag.SEQUENCE));
  if (tbs === undefined || signature === undefined) throw bad("a list and its signature");
  // A bit string's first byte counts the unused bits of its last.
  const bits = expectTag(signature, Tag.BIT_STRING).content.subarray(1);
  if (!verify("sha256", tbs.whole, issuer, bits)) throw bad("its issuer's signature");
  const fields = [...children(expectTag(tbs, Tag.SEQUENCE))];
  if (fields[0]?.tag === Tag.INTEGER) fields.shift(); // version
  fields.splice(0, 2); // algorithm, issuer
  const [thisUpdate, nextUpdate] = fields.splice(0, 2).map(time);
  if (thisUpdate === undefined || nextUpdate === undefined) throw bad("the dates of this one and the next");
  const entries = fields[0]?.tag === Tag.SEQUENCE ? children(fields.shift() as DerValue) : [];
  const revoked = entries.map((entry) => serial(expectTag(children(entry)[0], Tag.INTEGER)));
  return { revoked: new Set(revoked), thisUpdate, nextUpdate, number: listNumber(fields[0]) };
}

function listNumber(extensions: DerValue | undefined): string {
  if (extensions === undefined) return "00";
  for (const extension of children(readOnly(extensions.content, Tag.SEQUENCE))) {
    const parts = children(extension);
    if (!expectTag(parts[0], Tag.OID).content.equals(CRL_NUMBER)) continue;
    return readOnly(expectTag(parts.at(-1), Tag.OCTET_STRING).content, Tag.INTEGER).content.toString("hex");
  }
  return "00";
}

function serial(value: DerValue): string {
  return value.content.toString("hex").replace(/^(?:00)+(?=..)/u, "");
}

/** UTCTime or GeneralizedTime in Zulu. */
function time(value: DerValue): number {
  const text = value.content.toString("latin1");
  const year = value.tag === Tag.UTC_TIME ? (Number(text.slice(0, 2)) < 50 ? `20${text}` : `19${text}`) : text;
  const [, y, mo, d, h, mi, s] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/u.exec(year) ?? [];
  const parsed = Date.parse(`${y}-${mo}-${d}T${h}:${mi}:${s}Z`);
  if (Number.isNaN(parsed) || (value.tag !== Tag.UTC_TIME && value.tag !== Tag.GENERALIZED_TIME)) throw bad("a date");
  return parsed;
}

function bad(expected: string): TrusteeError {
  return new TrusteeError("collateral", `revocation list: expected ${expected}`);
}
