import type { Integer, SnpReport, SnpTcb, SnpVersion } from "@nacre/kbs-protocol";

import { AttesterError } from "../error.ts";

/** Bytes of a report, and where its signature begins (SEV-SNP ABI 1.58, table 23). */
export const SNP_REPORT = 1184;
const SIGNATURE = 0x2a0;
const HOST_DATA = 0xc0;

/** HOSTDATA: what the host gave at launch. */
export function hostData(report: Buffer): Buffer {
  return checkedLength(report).subarray(HOST_DATA, HOST_DATA + 32);
}

/** A report taken apart as brokers read it. Throws AttesterError `malformed`. */
export function parseSnpReport(bytes: Buffer): SnpReport {
  const report = checkedLength(bytes);
  const version = report.readUInt32LE(0);
  if (version < 2 || version > 5) {
    throw new AttesterError("malformed", `SNP report: expected version 2 to 5, got ${version}`);
  }
  const list = (offset: number, size: number): number[] => [...report.subarray(offset, offset + size)];
  const named = version >= 3;
  const turin = named ? report[0x188] === 0x1a : report.subarray(0x1a8, 0x1e0).every((byte) => byte === 0);
  const tcb = (offset: number): SnpTcb => readTcb(report, offset, turin);
  const cpuid = (offset: number): number | null => (named ? report.readUInt8(offset) : null);
  const mitigations = (offset: number): Integer | null => (version >= 5 ? integer(report, offset) : null);
  return {
    version,
    guest_svn: report.readUInt32LE(0x04),
    policy: integer(report, 0x08),
    family_id: list(0x10, 16),
    image_id: list(0x20, 16),
    vmpl: report.readUInt32LE(0x30),
    sig_algo: report.readUInt32LE(0x34),
    current_tcb: tcb(0x38),
    plat_info: integer(report, 0x40),
    key_info: report.readUInt32LE(0x48),
    report_data: list(0x50, 64),
    measurement: list(0x90, 48),
    host_data: list(HOST_DATA, 32),
    id_key_digest: list(0xe0, 48),
    author_key_digest: list(0x110, 48),
    report_id: list(0x140, 32),
    report_id_ma: list(0x160, 32),
    reported_tcb: tcb(0x180),
    cpuid_fam_id: cpuid(0x188),
    cpuid_mod_id: cpuid(0x189),
    cpuid_step: cpuid(0x18a),
    chip_id: list(0x1a0, 64),
    committed_tcb: tcb(0x1e0),
    current: readVersion(report, 0x1e8),
    committed: readVersion(report, 0x1ec),
    launch_tcb: tcb(0x1f0),
    launch_mit_vector: mitigations(0x1f8),
    current_mit_vector: mitigations(0x200),
    signature: { r: list(SIGNATURE, 72), s: list(SIGNATURE + 72, 72) },
  };
}

/** JSON of it. Integers beyond 2^53 are written in full. */
export function formatSnpReport(report: SnpReport): string {
  const big: string[] = [];
  // A text that no member of a report can have.
  const text = JSON.stringify(report, (_name, value: unknown) =>
    typeof value === "bigint" ? `#${big.push(String(value)) - 1}` : value,
  );
  return text.replaceAll(/"#(\d+)"/gu, (_whole, index: string) => big[Number(index)] ?? "0");
}

/** Turin has one more part and another order. */
function readTcb(report: Buffer, offset: number, turin: boolean): SnpTcb {
  const at = (index: number): number => report.readUInt8(offset + index);
  if (turin) return { fmc: at(0), bootloader: at(1), tee: at(2), snp: at(3), microcode: at(7) };
  return { fmc: null, bootloader: at(0), tee: at(1), snp: at(6), microcode: at(7) };
}

function readVersion(report: Buffer, offset: number): SnpVersion {
  return {
    major: report.readUInt8(offset + 2),
    minor: report.readUInt8(offset + 1),
    build: report.readUInt8(offset),
  };
}

function integer(report: Buffer, offset: number): Integer {
  const value = report.readBigUInt64LE(offset);
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

function checkedLength(report: Buffer): Buffer {
  if (report.length >= SNP_REPORT) return report;
  throw new AttesterError("malformed", `SNP report: expected ${SNP_REPORT} bytes, got ${report.length}`);
}
