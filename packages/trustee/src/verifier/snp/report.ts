import { TrusteeError } from "../../error.ts";
import type { SnpGeneration } from "./generation.ts";
import { generationOf } from "./generation.ts";

/** Bytes of an attestation report (AMD 56860, ATTESTATION_REPORT). */
export const REPORT_LENGTH = 1184;
/** What the signature covers. */
export const SIGNED_LENGTH = 0x2a0;
/** Versions whose layout is known; the guest's and this one's agree on 3 to 5 (spec trustee 2.5). */
export const REPORT_VERSIONS: readonly number[] = [3, 4, 5];

/** Security version numbers of the platform's parts. `fmc` is there from Turin on. */
export interface TcbVersion {
  readonly fmc?: number;
  readonly bootloader: number;
  readonly tee: number;
  readonly snp: number;
  readonly microcode: number;
}

/** A report's fields as they were signed. */
export interface SnpReport {
  readonly version: number;
  /** Undefined where version and CPU say nothing about it (version 2). */
  readonly generation: SnpGeneration | undefined;
  readonly policy: bigint;
  readonly vmpl: number;
  readonly signatureAlgorithm: number;
  readonly platformInfo: bigint;
  /** Bit 0 author key, bit 1 masked chip key, bits 2 to 4 which key signed. */
  readonly keyInfo: number;
  readonly reportData: Buffer;
  readonly measurement: Buffer;
  readonly hostData: Buffer;
  readonly chipId: Buffer;
  readonly reportedTcb: TcbVersion;
  readonly signed: Buffer;
  /** r and s, big-endian, 48 bytes each. */
  readonly signature: Buffer;
}

/** Keys that sign reports, as bits 2 to 4 of `keyInfo` name them. */
export const SigningKey = { VCEK: 0, VLEK: 1 } as const;

/** Reads a report. Throws `evidence` where its length, or the padding of its signature, is not as specified. */
export function parseReport(bytes: Buffer): SnpReport {
  if (bytes.length !== REPORT_LENGTH) throw bad(`${REPORT_LENGTH} bytes, got ${bytes.length}`);
  const version = bytes.readUInt32LE(0);
  const generation = version >= 3 ? generationOf(bytes.readUInt8(0x188), bytes.readUInt8(0x189)) : undefined;
  return {
    version,
    generation,
    policy: bytes.readBigUInt64LE(0x08),
    vmpl: bytes.readUInt32LE(0x30),
    signatureAlgorithm: bytes.readUInt32LE(0x34),
    platformInfo: bytes.readBigUInt64LE(0x40),
    keyInfo: bytes.readUInt32LE(0x48),
    reportData: bytes.subarray(0x50, 0x90),
    measurement: bytes.subarray(0x90, 0xc0),
    hostData: bytes.subarray(0xc0, 0xe0),
    chipId: bytes.subarray(0x1a0, 0x1e0),
    reportedTcb: readTcb(bytes.subarray(0x180, 0x188), generation),
    signed: bytes.subarray(0, SIGNED_LENGTH),
    signature: readSignature(bytes),
  };
}

/** Turin moved the fields, and put one in front of them. */
export function readTcb(bytes: Buffer, generation: SnpGeneration | undefined): TcbVersion {
  const at = (index: number): number => bytes.readUInt8(index);
  return generation === "Turin"
    ? { fmc: at(0), bootloader: at(1), tee: at(2), snp: at(3), microcode: at(7) }
    : { bootloader: at(0), tee: at(1), snp: at(6), microcode: at(7) };
}

/** r and s are little-endian in fields of 72 bytes. */
function readSignature(bytes: Buffer): Buffer {
  const halves = [SIGNED_LENGTH, SIGNED_LENGTH + 72].map((start) => {
    if (bytes.subarray(start + 48, start + 72).some((byte) => byte !== 0))
      throw bad("a signature of 48 bytes and zeros");
    return bytes.subarray(start, start + 48).toReversed();
  });
  return Buffer.concat(halves);
}

function bad(expected: string): TrusteeError {
  return new TrusteeError("evidence", `SNP report: expected ${expected}`);
}
