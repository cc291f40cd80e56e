import { TrusteeError } from "../../error.ts";
import { FieldReader, type Fields } from "../../fields.ts";
import { MAX_CERTIFICATE } from "../certificate.ts";
import { expectSame, fit } from "../sample.ts";
import type { Expected, VerifiedClaims, Verifier } from "../verifier.ts";
import { amdKeys, type AmdKeys } from "./amd-keys.ts";
import { type EndorsementKey, verifyReport } from "./endorsement.ts";
import type { SnpGeneration } from "./generation.ts";
import { parseReport, REPORT_VERSIONS, type SnpReport, type TcbVersion } from "./report.ts";
import { reportFromJson } from "./report-json.ts";

/** Where the key of a chip comes from when the evidence does not bring it: a store on disk, or AMD's service. */
export interface VcekSource {
  /** The certificate in DER, or undefined where this source has none. Throws `collateral`. */
  find(generation: SnpGeneration, chipId: Buffer, tcb: TcbVersion): Promise<Uint8Array | undefined>;
}

/** Certificates that a host may hand to its guest. */
const MAX_CERTIFICATES = 16;

/** Evidence of AMD SEV-SNP: `attestation_report` as JSON of its structure, `cert_chain` if the host has it. */
export class SnpVerifier implements Verifier {
  readonly #sources: readonly VcekSource[];
  readonly #keys: (generation: SnpGeneration) => AmdKeys;

  constructor(sources: readonly VcekSource[], keys: (generation: SnpGeneration) => AmdKeys = amdKeys) {
    this.#sources = sources;
    this.#keys = keys;
  }

  async verify(evidence: unknown, expected: Expected): Promise<readonly VerifiedClaims[]> {
    const reader = new FieldReader(evidence, "SNP evidence", "evidence");
    const report = parseReport(reportFromJson(reader.get("attestation_report")));
    await this.verifyGenuine(report, keyInEvidence(reader));
    expectBound(report, expected);
    return [{ teeClass: "cpu", claims: snpClaims(report) }];
  }

  /** Signed at the versions it states by a key that AMD vouches for, and by the guest's firmware level. */
  async verifyGenuine(report: SnpReport, key: EndorsementKey | undefined): Promise<void> {
    if (!REPORT_VERSIONS.includes(report.version)) {
      throw new TrusteeError(
        "unsupported",
        `SNP report: expected version ${REPORT_VERSIONS.join(", ")}, got ${report.version}`,
      );
    }
    const { generation } = report;
    if (generation === undefined)
      throw new TrusteeError("unsupported", "SNP report: its CPU is of no known generation");
    verifyReport(report, key ?? (await this.#fetchKey(generation, report)), this.#keys(generation));
    if (report.vmpl !== 0) throw new TrusteeError("mismatch", `SNP report: expected VMPL 0, got ${report.vmpl}`);
  }

  async #fetchKey(generation: SnpGeneration, report: SnpReport): Promise<EndorsementKey> {
    for (const source of this.#sources) {
      const der = await source.find(generation, report.chipId, report.reportedTcb);
      if (der !== undefined) return { kind: "VCEK", der };
    }
    throw new TrusteeError("collateral", "SNP evidence: it brings no key, and no source has the chip's");
  }
}

function expectBound(report: SnpReport, expected: Expected): void {
  expectSame(report.reportData, fit(expected.reportData, 64), "SNP report: REPORT_DATA");
  expectSame(report.hostData, fit(expected.initDataDigest, 32), "SNP report: HOST_DATA");
}

/** The one VCEK or VLEK of the evidence, if it has one. */
function keyInEvidence(reader: FieldReader): EndorsementKey | undefined {
  const chain = reader.get("cert_chain");
  if (chain === undefined || chain === null) return undefined;
  const keys = reader.list("cert_chain", MAX_CERTIFICATES).flatMap((entry): readonly EndorsementKey[] => {
    const certificate = new FieldReader(entry, "SNP evidence.cert_chain", "evidence");
    const kind = certificate.get("cert_type");
    return kind === "VCEK" || kind === "VLEK" ? [{ kind, der: certificate.byteListUpTo("data", MAX_CERTIFICATE) }] : [];
  });
  if (keys.length > 1)
    throw new TrusteeError("evidence", `SNP evidence: expected one endorsement key, got ${keys.length}`);
  if (keys.length === 0 && (chain as readonly unknown[]).length > 0) {
    throw new TrusteeError("evidence", "SNP evidence: expected a VCEK or VLEK in cert_chain");
  }
  return keys[0];
}

/** Claims by the names that attestation policies read (spec trustee 2.5). */
export function snpClaims(report: SnpReport): Fields {
  const policyBit = (bit: bigint): boolean => ((report.policy >> bit) & 1n) === 1n;
  const platformBit = (bit: bigint): boolean => ((report.platformInfo >> bit) & 1n) === 1n;
  return {
    policy_abi_major: Number((report.policy >> 8n) & 0xffn),
    policy_abi_minor: Number(report.policy & 0xffn),
    policy_smt_allowed: policyBit(16n),
    policy_migrate_ma: policyBit(18n),
    policy_debug_allowed: policyBit(19n),
    policy_single_socket: policyBit(20n),
    reported_tcb_bootloader: report.reportedTcb.bootloader,
    reported_tcb_tee: report.reportedTcb.tee,
    reported_tcb_snp: report.reportedTcb.snp,
    reported_tcb_microcode: report.reportedTcb.microcode,
    platform_tsme_enabled: platformBit(1n),
    platform_smt_enabled: platformBit(0n),
    measurement: report.measurement.toString("hex"),
    report_data: report.reportData.toString("hex"),
    init_data: report.hostData.toString("hex"),
    chip_id: report.chipId.toString("hex"),
  };
}
