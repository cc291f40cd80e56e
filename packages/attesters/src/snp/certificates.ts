import type { SnpCertificateType, SnpEvidence } from "@nacre/kbs-protocol";

import { AttesterError } from "../error.ts";

/** An entry of the host's table: a GUID, offset and length (GHCB 2.03, table 7). */
const ENTRY = 24;
const MAX_ENTRIES = 64;

const NAMES: Readonly<Record<string, SnpCertificateType>> = {
  "c0b406a4-a803-4952-9743-3fb6014cd0ae": "ARK",
  "4ab7b379-bbac-4fe4-a02f-05aef327c782": "ASK",
  "63da758d-e664-4564-adc5-f4b93be8accd": "VCEK",
  "a8074bc2-a25a-483e-aae6-39c045a0b8a1": "VLEK",
  "92f81bc3-5811-4d3d-97ff-d19f88dc67ea": "CRL",
};

/**
 * The certificates that the host gave along; null where it gave none. The host fills the table as it likes: entries that
 * lie outside are refused. Throws AttesterError `malformed`.
 */
export function parseCertificates(table: Buffer): SnpEvidence["cert_chain"] {
  const found: { cert_type: SnpCertificateType; data: number[] }[] = [];
  for (let index = 0; ; index++) {
    const at = index * ENTRY;
    // A table of nothing, or one without an end, ends with its bytes.
    if (at + ENTRY > table.length || table.subarray(at, at + 16).every((byte) => byte === 0)) break;
    if (index === MAX_ENTRIES) {
      throw new AttesterError("malformed", `SNP certificates: expected at most ${MAX_ENTRIES} entries`);
    }
    const guid = uuid(table.subarray(at, at + 16));
    const offset = table.readUInt32LE(at + 16);
    const length = table.readUInt32LE(at + 20);
    if (offset + length > table.length) {
      throw new AttesterError("malformed", `SNP certificates: expected an entry within ${table.length} bytes`);
    }
    found.push({ cert_type: NAMES[guid] ?? { OTHER: guid }, data: [...table.subarray(offset, offset + length)] });
  }
  return found.length === 0 ? null : found;
}

function uuid(bytes: Buffer): string {
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
