import { createPublicKey, type KeyObject, verify, type X509Certificate } from "node:crypto";

import { TrusteeError } from "../../error.ts";
import { expectSignedBy, extensionsOf, parseCertificate } from "../certificate.ts";
import { readOnly, smallInteger, Tag } from "../der.ts";
import type { AmdKeys } from "./amd-keys.ts";
import { SigningKey, type SnpReport, type TcbVersion } from "./report.ts";

/** AMD's extensions of key certificates (AMD 57230). */
const SPL = "1.3.6.1.4.1.3704.1.3";
const HARDWARE_ID = "1.3.6.1.4.1.3704.1.4";

/** The key that signed a report: of the chip (VCEK) or of whoever hosts it (VLEK). */
export interface EndorsementKey {
  readonly kind: keyof typeof SigningKey;
  readonly der: Uint8Array;
}

/**
 * Checks that a report was signed by a key that AMD vouches for, at the versions that the report states. The dates of
 * such certificates are not looked at: AMD's verifiers do not, and a chip outlives them. Throws TrusteeError.
 */
export function verifyReport(report: SnpReport, key: EndorsementKey, trusted: AmdKeys): void {
  const certificate = parseCertificate(key.der, key.kind);
  expectSignedBy(certificate, key.kind === "VCEK" ? trusted.ask : trusted.asvk, key.kind);
  const signer = (report.keyInfo >> 2) & 0b111;
  // Version 2 is read by no one but tests; from 3 on the field says who signed.
  if (report.version >= 3 && signer !== SigningKey[key.kind]) {
    throw new TrusteeError("mismatch", `SNP report: expected the signing key ${key.kind}, got ${signer}`);
  }
  if (report.signatureAlgorithm !== 1) {
    throw new TrusteeError(
      "unsupported",
      `SNP report: expected signature algorithm 1, got ${report.signatureAlgorithm}`,
    );
  }
  const extensions = extensionsOf(certificate);
  expectTcb(extensions, report.reportedTcb);
  if (key.kind === "VCEK") expectChip(extensions, report);
  const good = verify("sha384", report.signed, { key: p384(certificate), dsaEncoding: "ieee-p1363" }, report.signature);
  if (!good) throw new TrusteeError("signature", "SNP report: expected the signature of its endorsement key");
}

function p384(certificate: X509Certificate): KeyObject {
  const key = certificate.publicKey;
  if (key.asymmetricKeyDetails?.namedCurve !== "secp384r1") {
    throw new TrusteeError("signature", "SNP endorsement key: expected a key on P-384");
  }
  return createPublicKey({ key: key.export({ type: "spki", format: "der" }), format: "der", type: "spki" });
}

function expectTcb(extensions: ReadonlyMap<string, Buffer>, tcb: TcbVersion): void {
  const expected: readonly (readonly [string, string, number | undefined])[] = [
    ["boot loader", `${SPL}.1`, tcb.bootloader],
    ["TEE", `${SPL}.2`, tcb.tee],
    ["SNP", `${SPL}.3`, tcb.snp],
    ["microcode", `${SPL}.8`, tcb.microcode],
    ["FMC", `${SPL}.9`, tcb.fmc],
  ];
  for (const [name, oid, version] of expected) {
    if (version === undefined) continue;
    const extension = extensions.get(oid);
    if (extension === undefined)
      throw new TrusteeError("evidence", `SNP endorsement key: expected its ${name} version`);
    const certified = smallInteger(readOnly(extension, Tag.INTEGER));
    if (certified !== version) {
      throw new TrusteeError(
        "mismatch",
        `${name} version mismatch: the key is for ${certified}, the report is of ${version}`,
      );
    }
  }
}

/** Upstream means to make this check and never does (spec trustee 2.5). A chip that masks its identity reports zeros. */
function expectChip(extensions: ReadonlyMap<string, Buffer>, report: SnpReport): void {
  const extension = extensions.get(HARDWARE_ID);
  if (extension === undefined)
    throw new TrusteeError("evidence", "SNP endorsement key: expected its hardware identifier");
  if (report.chipId.every((byte) => byte === 0)) return;
  const id = hardwareId(extension);
  if (
    !id.equals(report.chipId.subarray(0, id.length)) ||
    report.chipId.subarray(id.length).some((byte) => byte !== 0)
  ) {
    throw new TrusteeError("mismatch", "SNP report: expected the chip that the endorsement key belongs to");
  }
}

/** 64 bytes, or 8 from Turin on, as they are or in an octet string: AMD has issued both. */
export function hardwareId(extension: Buffer): Buffer {
  if (extension.length === 64 || extension.length === 8) return extension;
  const { content } = readOnly(extension, Tag.OCTET_STRING);
  if (content.length !== 64 && content.length !== 8) {
    throw new TrusteeError(
      "evidence",
      `SNP endorsement key: expected a hardware identifier of 64 or 8 bytes, got ${content.length}`,
    );
  }
  return content;
}
