import { sign } from "node:crypto";

import type { AmdKeys } from "../../src/verifier/snp/amd-keys.ts";
import { certificate, ecKey, integer, rsaKey, type TestKey } from "../certificates.ts";

/** Evidence of an SNP guest on a chip that the test made, and the keys of the "AMD" that vouches for it. */
export interface MadeSnp {
  readonly report: Buffer;
  readonly vek: Buffer;
  readonly keys: AmdKeys;
  /** As a guest sends it. */
  readonly evidence: Record<string, unknown>;
}

export interface SnpOptions {
  readonly version?: number;
  readonly family?: number;
  readonly model?: number;
  readonly vmpl?: number;
  readonly policy?: bigint;
  readonly kind?: "VCEK" | "VLEK";
  readonly reportData?: Buffer;
  readonly hostData?: Buffer;
  readonly chipId?: Buffer;
  /** What the certificate is for, where it is not what the report says. */
  readonly certified?: { readonly snp?: number; readonly chipId?: Buffer };
}

const SPL = "1.3.6.1.4.1.3704.1.3";
let amd: { readonly ask: TestKey; readonly asvk: TestKey } | undefined;

export function makeSnp(options: SnpOptions = {}): MadeSnp {
  amd ??= { ask: rsaKey(), asvk: rsaKey() };
  const kind = options.kind ?? "VCEK";
  const chip = ecKey("P-384");
  const turin = options.family === 0x1a;
  const chipId = options.chipId ?? Buffer.concat([Buffer.alloc(8, 7), turin ? Buffer.alloc(56) : Buffer.alloc(56, 9)]);
  const tcb = Buffer.from(turin ? [1, 10, 0, 23, 0, 0, 0, 200] : [10, 0, 0, 0, 0, 0, 23, 200]);
  const report = Buffer.alloc(1184);
  report.writeUInt32LE(options.version ?? 3, 0);
  report.writeUInt32LE(1, 0x04);
  report.writeBigUInt64LE(options.policy ?? 0x30000n, 0x08);
  report.writeUInt32LE(options.vmpl ?? 0, 0x30);
  report.writeUInt32LE(1, 0x34);
  report.writeBigUInt64LE(2n ** 60n + 3n, 0x40);
  report.writeUInt32LE(kind === "VLEK" ? 4 : 0, 0x48);
  (options.reportData ?? Buffer.alloc(64, 1)).copy(report, 0x50);
  Buffer.alloc(48, 2).copy(report, 0x90);
  (options.hostData ?? Buffer.alloc(32, 3)).copy(report, 0xc0);
  for (const at of [0x38, 0x180, 0x1e0, 0x1f0]) tcb.copy(report, at);
  if ((options.version ?? 3) >= 3) Buffer.from([options.family ?? 0x19, options.model ?? 1, 1]).copy(report, 0x188);
  chipId.copy(report, 0x1a0);
  Buffer.from([21, 55, 1]).copy(report, 0x1e8);
  Buffer.from([21, 55, 1]).copy(report, 0x1ec);
  if ((options.version ?? 3) >= 5) report.writeBigUInt64LE(2n ** 63n + 1n, 0x1f8);
  const signature = sign("sha384", report.subarray(0, 0x2a0), { key: chip.privateKey, dsaEncoding: "ieee-p1363" });
  report.set(signature.subarray(0, 48).toReversed(), 0x2a0);
  report.set(signature.subarray(48).toReversed(), 0x2e8);

  const extensions = new Map([
    [`${SPL}.1`, integer(10)],
    [`${SPL}.2`, integer(0)],
    [`${SPL}.3`, integer(options.certified?.snp ?? 23)],
    [`${SPL}.8`, integer(200)],
    ...(turin ? ([[`${SPL}.9`, integer(1)]] as const) : []),
    ["1.3.6.1.4.1.3704.1.4", (options.certified?.chipId ?? chipId).subarray(0, turin ? 8 : 64)],
  ]);
  const signer = kind === "VCEK" ? amd.ask : amd.asvk;
  const vek = certificate({
    subject: "SEV-VCEK",
    issuer: "SEV",
    key: chip.publicKey,
    signer: signer.privateKey,
    extensions,
  });
  return {
    report,
    vek,
    keys: { ask: amd.ask.publicKey, asvk: amd.asvk.publicKey },
    evidence: { attestation_report: reportJson(report), cert_chain: [{ cert_type: kind, data: [...vek] }] },
  };
}

/** A report as the guest's library writes it. */
export function reportJson(report: Buffer): Record<string, unknown> {
  const list = (start: number, length: number): readonly number[] => [...report.subarray(start, start + length)];
  const version = report.readUInt32LE(0);
  const turin = report[0x188] === 0x1a;
  const tcb = (at: number): unknown => {
    const [a, b, c, d, , , g, h] = report.subarray(at, at + 8);
    return turin
      ? { fmc: a, bootloader: b, tee: c, snp: d, microcode: h }
      : { fmc: null, bootloader: a, tee: b, snp: g, microcode: h };
  };
  const firmware = (at: number): unknown => ({ major: report[at + 2], minor: report[at + 1], build: report[at] });
  const cpu = (at: number): number | null => (version >= 3 ? (report[at] ?? 0) : null);
  const mitigation = (at: number): bigint | null => (version >= 5 ? report.readBigUInt64LE(at) : null);
  return {
    version,
    guest_svn: report.readUInt32LE(4),
    policy: report.readBigUInt64LE(8),
    family_id: list(0x10, 16),
    image_id: list(0x20, 16),
    vmpl: report.readUInt32LE(0x30),
    sig_algo: report.readUInt32LE(0x34),
    current_tcb: tcb(0x38),
    plat_info: report.readBigUInt64LE(0x40),
    key_info: report.readUInt32LE(0x48),
    report_data: list(0x50, 64),
    measurement: list(0x90, 48),
    host_data: list(0xc0, 32),
    id_key_digest: list(0xe0, 48),
    author_key_digest: list(0x110, 48),
    report_id: list(0x140, 32),
    report_id_ma: list(0x160, 32),
    reported_tcb: tcb(0x180),
    cpuid_fam_id: cpu(0x188),
    cpuid_mod_id: cpu(0x189),
    cpuid_step: cpu(0x18a),
    chip_id: list(0x1a0, 64),
    committed_tcb: tcb(0x1e0),
    current: firmware(0x1e8),
    committed: firmware(0x1ec),
    launch_tcb: tcb(0x1f0),
    launch_mit_vector: mitigation(0x1f8),
    current_mit_vector: mitigation(0x200),
    signature: { r: list(0x2a0, 72), s: list(0x2e8, 72) },
  };
}
