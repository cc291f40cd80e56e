import { createHash } from "node:crypto";

import { canonicalJson } from "../canonical-json.ts";
import type { TeePublicKey } from "./tee-public-key.ts";

/** What a guest offers, in the order in which it offers them. */
export const REPORT_HASHES = ["sha256", "sha384", "sha512", "sm3"] as const;
export type ReportHash = (typeof REPORT_HASHES)[number];
/** Where the broker chose none. */
export const DEFAULT_REPORT_HASH: ReportHash = "sha384";

/** What evidence is bound to: the broker's nonce and the key that it will encrypt to. */
export interface RuntimeData {
  readonly nonce: string;
  readonly "tee-pubkey": TeePublicKey;
}

/** What a device's evidence is bound to. */
export function deviceRuntimeData({ nonce, "tee-pubkey": key }: RuntimeData): RuntimeData {
  return { nonce, "tee-pubkey": key };
}

/** What the machine's own evidence is bound to: the devices' evidence too. The member is there when it is empty, too. */
export function primaryRuntimeData(
  data: RuntimeData,
  additionalEvidence: string,
): RuntimeData & { readonly "additional-evidence": string } {
  return { "additional-evidence": additionalEvidence, ...deviceRuntimeData(data) };
}

/** The digest of runtime data's canonical form. Platforms fill it up or cut it to what their evidence has room for. */
export function reportData(data: object, hash: ReportHash = DEFAULT_REPORT_HASH): Buffer {
  return createHash(hash).update(canonicalJson(data)).digest();
}
