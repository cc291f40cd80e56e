import { TrusteeError } from "../../error.ts";
import { FieldReader } from "../../fields.ts";
import { generationOf, type SnpGeneration } from "./generation.ts";
import { REPORT_LENGTH } from "./report.ts";

/**
 * The signed bytes of a report that comes as JSON: guests send the parsed structure (spec guest-components 1.7), so it is
 * written back. What is reserved is zero, or the signature says otherwise. Throws `evidence`.
 */
export function reportFromJson(value: unknown): Buffer {
  const reader = new FieldReader(value, "SNP report", "evidence");
  const bytes = Buffer.alloc(REPORT_LENGTH);
  const version = Number(reader.unsigned("version", 32));
  const generation = version >= 3 ? readGeneration(reader) : generationBefore3(reader);
  const u32 = (name: string, at: number): void => void bytes.writeUInt32LE(Number(reader.unsigned(name, 32)), at);
  const u64 = (name: string, at: number): void => void bytes.writeBigUInt64LE(reader.unsigned(name, 64), at);
  const raw = (name: string, length: number, at: number): void => void reader.byteList(name, length).copy(bytes, at);

  bytes.writeUInt32LE(version, 0);
  u32("guest_svn", 0x04);
  u64("policy", 0x08);
  raw("family_id", 16, 0x10);
  raw("image_id", 16, 0x20);
  u32("vmpl", 0x30);
  u32("sig_algo", 0x34);
  writeTcb(reader.object("current_tcb"), bytes, 0x38, generation);
  u64("plat_info", 0x40);
  u32("key_info", 0x48);
  raw("report_data", 64, 0x50);
  raw("measurement", 48, 0x90);
  raw("host_data", 32, 0xc0);
  raw("id_key_digest", 48, 0xe0);
  raw("author_key_digest", 48, 0x110);
  raw("report_id", 32, 0x140);
  raw("report_id_ma", 32, 0x160);
  writeTcb(reader.object("reported_tcb"), bytes, 0x180, generation);
  if (version >= 3) {
    for (const [at, name] of ["cpuid_fam_id", "cpuid_mod_id", "cpuid_step"].entries()) {
      bytes.writeUInt8(Number(reader.unsigned(name, 8)), 0x188 + at);
    }
  }
  raw("chip_id", 64, 0x1a0);
  writeTcb(reader.object("committed_tcb"), bytes, 0x1e0, generation);
  writeFirmware(reader.object("current"), bytes, 0x1e8);
  writeFirmware(reader.object("committed"), bytes, 0x1ec);
  writeTcb(reader.object("launch_tcb"), bytes, 0x1f0, generation);
  // Older libraries of the guest know no mitigation vectors, and leave them out.
  if (version >= 5 && reader.get("launch_mit_vector") !== undefined) {
    u64("launch_mit_vector", 0x1f8);
    u64("current_mit_vector", 0x200);
  }
  const signature = reader.object("signature");
  signature.byteList("r", 72).copy(bytes, 0x2a0);
  signature.byteList("s", 72).copy(bytes, 0x2e8);
  return bytes;
}

function readGeneration(reader: FieldReader): SnpGeneration {
  const family = Number(reader.unsigned("cpuid_fam_id", 8));
  const model = Number(reader.unsigned("cpuid_mod_id", 8));
  const generation = generationOf(family, model);
  if (generation === undefined) {
    throw new TrusteeError("unsupported", `SNP report: CPU family ${family}, model ${model} is of no known generation`);
  }
  return generation;
}

/** Before version 3 the report names no CPU; only Turin's identifiers are eight bytes, the rest zero. */
function generationBefore3(reader: FieldReader): SnpGeneration | undefined {
  return reader
    .byteList("chip_id", 64)
    .subarray(8)
    .every((byte) => byte === 0)
    ? "Turin"
    : undefined;
}

function writeTcb(tcb: FieldReader, bytes: Buffer, at: number, generation: SnpGeneration | undefined): void {
  const turin = generation === "Turin";
  const places = turin
    ? { fmc: 0, bootloader: 1, tee: 2, snp: 3, microcode: 7 }
    : { bootloader: 0, tee: 1, snp: 6, microcode: 7 };
  for (const [name, offset] of Object.entries(places)) bytes.writeUInt8(Number(tcb.unsigned(name, 8)), at + offset);
}

function writeFirmware(version: FieldReader, bytes: Buffer, at: number): void {
  for (const [offset, name] of ["build", "minor", "major"].entries()) {
    bytes.writeUInt8(Number(version.unsigned(name, 8)), at + offset);
  }
}
