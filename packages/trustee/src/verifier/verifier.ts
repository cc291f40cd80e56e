import type { Fields } from "../fields.ts";

/** Kinds of devices that have a policy and a submodule name of their own. */
export type TeeClass = "cpu" | "gpu" | "ppcie" | "switch";

/** What evidence must be bound to; what is absent is not compared. */
export interface Expected {
  /** The digest of the runtime data, before a platform pads or cuts it. */
  readonly reportData?: Buffer;
  /** The digest of the initdata, before a platform pads or cuts it. */
  readonly initDataDigest?: Buffer;
}

/**
 * What genuine evidence says. `report_data` and `init_data` are texts among the claims where the platform binds them; the
 * token's broker moves them out (spec trustee 2.2).
 */
export interface VerifiedClaims {
  readonly teeClass: TeeClass;
  readonly claims: Fields;
}

/** Checks evidence as parsed from JSON with exact integers. Throws TrusteeError; there is no "not quite". */
export interface Verifier {
  verify(evidence: unknown, expected: Expected): Promise<readonly VerifiedClaims[]>;
}
