import { createHash } from "node:crypto";

import { fitDigest, initdataDigest, parseInitdata } from "@nacre/kbs-protocol";

/** Fields that hold a document's digest, and their bytes; where it does not fit it is cut or filled up with zeros. */
export const FIELDS = { snp: 32, tdx: 48, se: 256, cca: 64 } as const;
export type FieldName = keyof typeof FIELDS;

/** What a document is, without its contents. */
export interface InitdataSummary {
  readonly version: string;
  readonly algorithm: string;
  /** Hexadecimal. */
  readonly digest: string;
  readonly bytes: number;
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly sha256: string }[];
  /** What a launch must show, by the platform's field; hexadecimal. */
  readonly fields: Readonly<Record<FieldName, string>>;
  /** PCR 8 of a TPM, which takes digests of 32 bytes alone. */
  readonly pcr8?: string;
}

/** Throws KbsProtocolError. */
export function summaryOf(toml: Buffer): InitdataSummary {
  const { algorithm, data } = parseInitdata(toml);
  const digest = initdataDigest(toml, algorithm);
  const field = (name: FieldName): string => fitDigest(digest, FIELDS[name]).toString("hex");
  return {
    version: "0.1.0",
    algorithm,
    digest: digest.toString("hex"),
    bytes: toml.length,
    files: [...data].map(([name, text]) => ({
      name,
      bytes: Buffer.byteLength(text),
      sha256: createHash("sha256").update(text).digest("hex"),
    })),
    fields: { snp: field("snp"), tdx: field("tdx"), se: field("se"), cca: field("cca") },
    ...(digest.length === 32 ? { pcr8: pcrAfter(digest) } : {}),
  };
}

/** A register of zeros after it took the digest. */
function pcrAfter(digest: Buffer): string {
  return createHash("sha256").update(Buffer.alloc(32)).update(digest).digest("hex");
}
