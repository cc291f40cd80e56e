import type { X509Certificate } from "node:crypto";

import { TrusteeError } from "../../error.ts";
import { parsePemChain } from "../certificate.ts";
import { LittleEndianReader } from "../event-log/reader.ts";

/** Bytes of a quote; real ones have 5 KiB. */
export const MAX_QUOTE: number = 64 * 1024;
const HEADER = 48;
const TDX_10_BODY = 584;
const TDX_15_BODY = 648;
const QE_REPORT = 384;
const TEE_TDX = 0x81;
const KEY_ECDSA_P256 = 2;
const CERTIFICATION_QE_REPORT = 6;
const CERTIFICATION_PCK_CHAIN = 5;

/** Fields of a TD's report, in their order, with their lengths (Intel TDX DCAP quoting library, A.3). */
const BODY_FIELDS = [
  ["tcb_svn", 16],
  ["mr_seam", 48],
  ["mrsigner_seam", 48],
  ["seam_attributes", 8],
  ["td_attributes", 8],
  ["xfam", 8],
  ["mr_td", 48],
  ["mr_config_id", 48],
  ["mr_owner", 48],
  ["mr_owner_config", 48],
  ["rtmr_0", 48],
  ["rtmr_1", 48],
  ["rtmr_2", 48],
  ["rtmr_3", 48],
  ["report_data", 64],
] as const;
type BodyField = (typeof BODY_FIELDS)[number][0];
export type TdBody = Readonly<Record<BodyField, Buffer>> & {
  readonly tee_tcb_svn2?: Buffer;
  readonly mr_servicetd?: Buffer;
};

export interface TdQuote {
  readonly version: 4 | 5;
  readonly header: Readonly<Record<"att_key_type" | "reserved" | "tee_type" | "user_data" | "vendor_id", Buffer>>;
  /** Version 5 states the body's type and length. */
  readonly bodyType?: Buffer;
  readonly bodySize?: Buffer;
  readonly body: TdBody;
  /** What the attestation key signed: everything before the signature's length. */
  readonly signed: Buffer;
  readonly signature: Buffer;
  /** x and y. */
  readonly attestationKey: Buffer;
  readonly qeReport: Buffer;
  readonly qeReportSignature: Buffer;
  readonly qeAuthData: Buffer;
  /** PCK certificate, its platform's or processor's authority, Intel's root. */
  readonly chain: readonly X509Certificate[];
}

/** Reads a TDX quote of version 4 or 5. What follows the signature data is ignored, as quotes come padded. */
export function parseTdQuote(bytes: Buffer): TdQuote {
  if (bytes.length > MAX_QUOTE) throw bad(`at most ${MAX_QUOTE} bytes, got ${bytes.length}`);
  const reader = new LittleEndianReader(bytes, "TDX quote");
  const version = reader.u16();
  if (version !== 4 && version !== 5) throw unsupported(`version 4 or 5, got ${version}`);
  const header = {
    att_key_type: reader.take(2),
    tee_type: reader.take(4),
    reserved: reader.take(4),
    vendor_id: reader.take(16),
    user_data: reader.take(20),
  };
  if (header.att_key_type.readUInt16LE() !== KEY_ECDSA_P256) throw unsupported("an attestation key on P-256");
  if (header.tee_type.readUInt32LE() !== TEE_TDX) throw unsupported("a TD");
  const described = version === 5 ? { bodyType: reader.take(2), bodySize: reader.take(4) } : {};
  const body = readBody(reader, bodyLength(described));
  const signed = bytes.subarray(0, bytes.length - reader.left);
  const data = new LittleEndianReader(reader.take(reader.u32()), "TDX quote: signature data");
  return { version, header, ...described, body, signed, ...readSignatureData(data) };
}

function bodyLength(described: { readonly bodyType?: Buffer; readonly bodySize?: Buffer }): number {
  if (described.bodyType === undefined) return TDX_10_BODY;
  const type = described.bodyType.readUInt16LE();
  const length = type === 2 ? TDX_10_BODY : type === 3 ? TDX_15_BODY : undefined;
  if (length === undefined) throw unsupported(`a body of type 2 or 3, got ${type}`);
  if (described.bodySize?.readUInt32LE() !== length) throw bad(`a body of ${length} bytes`);
  return length;
}

function readBody(reader: LittleEndianReader, length: number): TdBody {
  const fields = Object.fromEntries(BODY_FIELDS.map(([name, size]) => [name, reader.take(size)]));
  const later = length === TDX_15_BODY ? { tee_tcb_svn2: reader.take(16), mr_servicetd: reader.take(48) } : {};
  return { ...(fields as Record<BodyField, Buffer>), ...later };
}

function readSignatureData(data: LittleEndianReader): Omit<TdQuote, "body" | "header" | "signed" | "version"> {
  const signature = data.take(64);
  const attestationKey = data.take(64);
  if (data.u16() !== CERTIFICATION_QE_REPORT) throw unsupported("certification data with the quoting enclave's report");
  const certification = new LittleEndianReader(data.take(data.u32()), "TDX quote: certification data");
  const qeReport = certification.take(QE_REPORT);
  const qeReportSignature = certification.take(64);
  const qeAuthData = certification.take(certification.u16());
  if (certification.u16() !== CERTIFICATION_PCK_CHAIN) throw unsupported("certification data with a chain in PEM");
  const pem = certification.take(certification.u32()).toString("latin1");
  const chain = parsePemChain(pem, "TDX quote: PCK chain");
  if (chain.length !== 3) throw bad(`three certificates, got ${chain.length}`);
  return { signature, attestationKey, qeReport, qeReportSignature, qeAuthData, chain };
}

/** Bytes in front of the body: the header, and from version 5 on the body's type and length. */
export const SIGNED_HEADER: Readonly<Record<TdQuote["version"], number>> = { 4: HEADER, 5: HEADER + 6 };

function bad(expected: string): TrusteeError {
  return new TrusteeError("evidence", `TDX quote: expected ${expected}`);
}

function unsupported(expected: string): TrusteeError {
  return new TrusteeError("unsupported", `TDX quote: expected ${expected}`);
}
