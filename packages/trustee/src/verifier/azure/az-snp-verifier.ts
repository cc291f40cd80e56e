import { parsePemChain, MAX_CERTIFICATE } from "../certificate.ts";
import { TrusteeError } from "../../error.ts";
import { FieldReader, type Fields } from "../../fields.ts";
import { expectSame } from "../sample.ts";
import { parseReport, type SnpReport } from "../snp/report.ts";
import { SnpVerifier, snpClaims } from "../snp/snp-verifier.ts";
import { extendedOnce, parsePcrs, PCR_COUNT, pcrClaims, verifyQuote } from "../tpm/attest.ts";
import { INITDATA_PCR } from "../tpm/tpm-verifier.ts";
import type { Expected, VerifiedClaims, Verifier } from "../verifier.ts";
import { MAX_HCL_REPORT, parseHclReport } from "./hcl-report.ts";

const MAX_BLOB = 4096;

/**
 * Evidence of an SNP guest on Azure, whose hardware report is the paravisor's and binds the key of its TPM: a quote by
 * that key over nonce and registers, the paravisor's report, and the chip's certificate. Formats "1" and "2".
 */
export class AzSnpVerifier implements Verifier {
  readonly #snp: SnpVerifier = new SnpVerifier([]);

  async verify(evidence: unknown, expected: Expected): Promise<readonly VerifiedClaims[]> {
    const reader = new FieldReader(evidence, "Azure SNP evidence", "evidence");
    const version = formatVersion(reader);
    const hcl = parseHclReport(reader.base64("hcl_report", MAX_HCL_REPORT));
    const quoted = reader.object("tpm_quote");
    const pcrs = parsePcrs(quoted.list("pcrs", PCR_COUNT), "Azure SNP evidence");
    const message = quoted.hex("message", MAX_BLOB);
    const quote = verifyQuote(message, quoted.hex("signature", MAX_BLOB), pcrs, hcl.attestationKey);
    if (expected.reportData === undefined)
      throw new TrusteeError("mismatch", "Azure SNP evidence: expected runtime data to compare with");
    expectSame(quote.extraData, expected.reportData, "TPM quote: nonce");
    const report = parseReport(hcl.hardwareReport);
    if (!report.reportData.subarray(0, 32).equals(hcl.digest)) {
      throw new TrusteeError("mismatch", "HCL variable data digest doesn't match SNP report data");
    }
    // The older format's reports were made at boot and can hold nothing of the request.
    if (version >= 2) expectUserData(hcl.userData, expected.reportData);
    await this.#snp.verifyGenuine(report, { kind: "VCEK", der: vcek(reader) });
    if (expected.initDataDigest !== undefined) {
      const register = pcrs[INITDATA_PCR] ?? Buffer.alloc(0);
      expectSame(register, extendedOnce(expected.initDataDigest), `TPM quote: register ${INITDATA_PCR}`);
    }
    return [{ teeClass: "cpu", claims: { ...textClaims(report), tpm: pcrClaims(pcrs) } }];
  }
}

function formatVersion(reader: FieldReader): 1 | 2 {
  const version = String(reader.get("version"));
  if (version === "1") return 1;
  if (version === "2") return 2;
  throw new TrusteeError("unsupported", "Azure SNP evidence: expected format version 1 or 2");
}

function expectUserData(userData: string, reportData: Buffer): void {
  const wanted = reportData.toString("hex");
  if (!userData.toLowerCase().startsWith(wanted))
    throw new TrusteeError("mismatch", "HCL user data doesn't match report data");
}

/** In base64 as DER; the guest's library gives PEM in that place, too. */
function vcek(reader: FieldReader): Uint8Array {
  const bytes = reader.base64("vcek", MAX_CERTIFICATE);
  if (!bytes.subarray(0, 11).equals(Buffer.from("-----BEGIN "))) return bytes;
  const [certificate] = parsePemChain(bytes.toString("latin1"), "VCEK");
  if (certificate === undefined)
    throw new TrusteeError("evidence", "Azure SNP evidence: expected a certificate in vcek");
  return certificate.raw;
}

/** As bare SNP has them, but numbers and flags are texts here, and bytes in base64 (spec trustee 2.5). */
function textClaims(report: SnpReport): Fields {
  const { chip_id: _, ...claims } = snpClaims(report);
  const binary: Fields = {
    measurement: report.measurement.toString("base64"),
    report_data: report.reportData.toString("base64"),
    init_data: report.hostData.toString("base64"),
  };
  return Object.fromEntries(Object.entries(claims).map(([name, value]) => [name, binary[name] ?? String(value)]));
}
