import { createHash, createPublicKey, type KeyObject } from "node:crypto";

import { TrusteeError } from "../../error.ts";
import { FieldReader } from "../../fields.ts";
import { parseJsonBytes } from "../../json.ts";
import { LittleEndianReader } from "../event-log/reader.ts";

export const MAX_HCL_REPORT: number = 64 * 1024;
const SIGNATURE = "HCLA";
const HARDWARE_REPORT = 1184;
const REPORT_SNP = 2;
const HASH_SHA256 = 1;
const MAX_KEYS = 16;

/** What Azure's paravisor put into its TPM at boot: the hardware's report, and the keys and settings it is bound to. */
export interface HclReport {
  readonly hardwareReport: Buffer;
  readonly attestationKey: KeyObject;
  /** What the guest asked the paravisor to include, in hexadecimal. */
  readonly userData: string;
  /** What the first half of the hardware report's data must be. */
  readonly digest: Buffer;
}

/** Reads the report of an SNP guest. Throws `evidence`, `unsupported`. */
export function parseHclReport(bytes: Buffer): HclReport {
  const reader = new LittleEndianReader(bytes, "HCL report");
  if (reader.take(4).toString("latin1") !== SIGNATURE) throw bad("its signature");
  reader.take(28); // version, size, kind of request, status, reserved
  const hardwareReport = reader.take(HARDWARE_REPORT);
  reader.take(8); // size, version
  if (reader.u32() !== REPORT_SNP) throw new TrusteeError("unsupported", "HCL report: expected one of SNP");
  if (reader.u32() !== HASH_SHA256) throw new TrusteeError("unsupported", "HCL report: expected SHA-256");
  const variable = reader.take(reader.u32());
  // The digest covers the text without the zeros that fill it up.
  const end = variable.indexOf(0);
  const text = end < 0 ? variable : variable.subarray(0, end);
  const data = new FieldReader(parseJsonBytes(text, "HCL variable data", "evidence"), "HCL variable data", "evidence");
  return {
    hardwareReport,
    attestationKey: attestationKey(data),
    userData: data.optionalText("user-data") ?? "",
    digest: createHash("sha256").update(text).digest(),
  };
}

function attestationKey(data: FieldReader): KeyObject {
  for (const entry of data.list("keys", MAX_KEYS)) {
    const key = new FieldReader(entry, "HCL variable data.keys", "evidence");
    if (key.get("kid") !== "HCLAkPub") continue;
    try {
      return createPublicKey({ key: { kty: "RSA", n: key.text("n"), e: key.text("e") }, format: "jwk" });
    } catch (cause) {
      throw new TrusteeError("evidence", "Failed to get AKpub: expected an RSA key", { cause });
    }
  }
  throw new TrusteeError("evidence", "Failed to get AKpub: expected the key HCLAkPub");
}

function bad(expected: string): TrusteeError {
  return new TrusteeError("evidence", `HCL report: expected ${expected}`);
}
