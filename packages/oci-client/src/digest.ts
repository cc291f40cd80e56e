import { createHash, type Hash } from "node:crypto";
import { OciError } from "./error.ts";

/** Hex digits per algorithm (distribution/reference; others are refused). */
const HEX_LENGTH: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 };

/** A content digest, `algorithm:hex`, checked. */
export interface Digest {
  readonly algorithm: "sha256" | "sha384" | "sha512";
  /** Lower case: two spellings of one digest are one digest. */
  readonly hex: string;
}

/** @throws OciError `digest` for an unknown algorithm, a wrong length or a character that is not hexadecimal. */
export function parseDigest(text: string): Digest {
  const [algorithm = "", hex = "", ...rest] = text.split(":");
  const length = Object.hasOwn(HEX_LENGTH, algorithm) ? HEX_LENGTH[algorithm] : undefined;
  if (length === undefined || rest.length > 0 || hex.length !== length || !/^[0-9a-fA-F]+$/.test(hex)) {
    throw new OciError("digest", `digest ${JSON.stringify(text.slice(0, 160))} is not sha256, sha384 or sha512 in hex`);
  }
  return { algorithm: algorithm as Digest["algorithm"], hex: hex.toLowerCase() };
}

export function formatDigest(digest: Digest): string {
  return `${digest.algorithm}:${digest.hex}`;
}

/** The digest in its one spelling. */
export function canonicalDigest(text: string): string {
  return formatDigest(parseDigest(text));
}

export function digestOf(bytes: Uint8Array, algorithm: Digest["algorithm"] = "sha256"): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}

/** @throws OciError `digest` when `bytes` do not hash to `expected`. */
export function verifyDigest(what: string, bytes: Uint8Array, expected: string): void {
  const { algorithm, hex } = parseDigest(expected);
  const got = digestOf(bytes, algorithm);
  if (got !== `${algorithm}:${hex}`) {
    throw new OciError("digest", `${what}: expected digest ${algorithm}:${hex}, got ${got}`);
  }
}

/** Hashes a stream and says at its end whether it was the expected one. */
export class DigestVerifier {
  readonly #hash: Hash;
  readonly #expected: Digest;

  constructor(expected: string) {
    this.#expected = parseDigest(expected);
    this.#hash = createHash(this.#expected.algorithm);
  }

  update(chunk: Uint8Array): void {
    this.#hash.update(chunk);
  }

  /** The digest of what was seen; `matches` is only meaningful after the last chunk. Ends the verifier. */
  end(): { readonly matches: boolean; readonly expected: string; readonly got: string } {
    const hex = this.#hash.digest("hex");
    const { algorithm } = this.#expected;
    return {
      matches: hex === this.#expected.hex,
      expected: formatDigest(this.#expected),
      got: `${algorithm}:${hex}`,
    };
  }
}
