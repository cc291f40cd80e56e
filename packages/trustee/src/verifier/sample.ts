import { timingSafeEqual } from "node:crypto";

import { TrusteeError } from "../error.ts";
import { FieldReader } from "../fields.ts";
import type { Expected, VerifiedClaims, Verifier } from "./verifier.ts";

const MAX_REPORT_DATA = 1024;

/** Evidence of no hardware, for development: proves nothing but that its maker knew the runtime data. */
export const sampleVerifier: Verifier = {
  verify: async (evidence, expected) => verifySample(evidence, expected),
};

export const sampleDeviceVerifier: Verifier = {
  verify: async (evidence, expected) => verifySampleDevice(evidence, expected),
};

function verifySample(evidence: unknown, expected: Expected): readonly VerifiedClaims[] {
  const { svn, report_data } = readSample(evidence, expected, "sample evidence");
  const claims = {
    svn,
    report_data,
    launch_digest: "abcde",
    platform_version: { major: 1, minor: 4 },
    debug: false,
    // Nothing binds it: the digest is echoed.
    ...(expected.initDataDigest === undefined ? {} : { init_data: expected.initDataDigest.toString("base64") }),
  };
  return [{ teeClass: "cpu", claims }];
}

function verifySampleDevice(evidence: unknown, expected: Expected): readonly VerifiedClaims[] {
  return [{ teeClass: "gpu", claims: readSample(evidence, expected, "sample device evidence") }];
}

function readSample(evidence: unknown, expected: Expected, what: string): { svn: string; report_data: string } {
  const reader = new FieldReader(evidence, what, "evidence");
  const svn = reader.text("svn");
  const reportData = reader.base64("report_data", MAX_REPORT_DATA);
  expectSame(reportData, expected.reportData, `${what}: report data`);
  return { svn, report_data: reader.text("report_data") };
}

/** Throws `mismatch` unless the bytes are what is expected, where something is. */
export function expectSame(got: Buffer, expected: Buffer | undefined, what: string): void {
  if (expected === undefined) return;
  if (got.length !== expected.length || !timingSafeEqual(got, expected)) {
    throw new TrusteeError("mismatch", `${what}: expected ${expected.toString("hex")}, got ${got.toString("hex")}`);
  }
}

/** A digest as a field of `size` bytes holds it: cut, or filled up with zeros. */
export function fit(digest: Buffer | undefined, size: number): Buffer | undefined {
  if (digest === undefined) return undefined;
  const field = Buffer.alloc(size);
  digest.copy(field, 0, 0, size);
  return field;
}
