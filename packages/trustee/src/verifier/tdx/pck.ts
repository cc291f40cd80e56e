import type { X509Certificate } from "node:crypto";

import { TrusteeError } from "../../error.ts";
import { extensionsOf } from "../certificate.ts";
import { children, type DerValue, expectTag, oidText, readOnly, smallInteger, Tag } from "../der.ts";

/** Intel's extension of PCK certificates (Intel SGX PCK certificate profile 1.3.5). */
const SGX = "1.2.840.113741.1.13.1";
const COMPONENTS = 16;

/** The platform that a PCK certificate is for. */
export interface PckPlatform {
  readonly fmspc: string;
  readonly pceId: string;
  /** Security versions of the 16 parts of the platform, and of the provisioning enclave. */
  readonly components: readonly number[];
  readonly pceSvn: number;
  /** Of platforms of several packages: their number, as a GUID's text would be, backwards. */
  readonly platformInstanceId?: string;
  /** Which of Intel's authorities issued it, and so which list of revoked certificates counts. */
  readonly authority: "platform" | "processor";
}

/** Reads the platform from its certificate. Throws `evidence`. */
export function parsePck(certificate: X509Certificate): PckPlatform {
  const extension = extensionsOf(certificate).get(SGX);
  if (extension === undefined) throw bad("Intel's extension");
  const fields = entries(readOnly(extension, Tag.SEQUENCE));
  const tcb = entries(expectTag(fields.get(`${SGX}.2`), Tag.SEQUENCE));
  const components = Array.from({ length: COMPONENTS }, (_, at) => smallInteger(required(tcb, `${SGX}.2.${at + 1}`)));
  const instance = fields.get(`${SGX}.6`);
  return {
    fmspc: octets(fields, `${SGX}.4`, 6).toString("hex"),
    pceId: octets(fields, `${SGX}.3`, 2).toString("hex"),
    components,
    pceSvn: smallInteger(required(tcb, `${SGX}.2.17`)),
    ...(instance === undefined
      ? {}
      : {
          platformInstanceId: Buffer.from(octets(fields, `${SGX}.6`, 16).toReversed()).toString("hex"),
        }),
    authority: certificate.issuer.includes("Platform CA") ? "platform" : "processor",
  };
}

/** Members of Intel's structure: pairs of an identifier and a value. */
function entries(sequence: DerValue): ReadonlyMap<string, DerValue> {
  const map = new Map<string, DerValue>();
  for (const pair of children(sequence)) {
    const [oid, value] = children(expectTag(pair, Tag.SEQUENCE));
    if (value !== undefined) map.set(oidText(expectTag(oid, Tag.OID)), value);
  }
  return map;
}

function required(map: ReadonlyMap<string, DerValue>, oid: string): DerValue {
  const value = map.get(oid);
  if (value === undefined) throw bad(oid);
  return value;
}

function octets(map: ReadonlyMap<string, DerValue>, oid: string, length: number): Buffer {
  const { content } = expectTag(map.get(oid), Tag.OCTET_STRING);
  if (content.length !== length) throw bad(`${oid} of ${length} bytes`);
  return content;
}

function bad(expected: string): TrusteeError {
  return new TrusteeError("evidence", `PCK certificate: expected ${expected}`);
}
