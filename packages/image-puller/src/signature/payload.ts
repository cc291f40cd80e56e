import { canonicalDigest } from "oci-client";
import { PullError } from "../error.ts";
import { invalid, object, parseDocument, text } from "./members.ts";

/** What a signature says: this manifest is the image of this name (containers-signature(5)). */
export interface SignedClaim {
  readonly manifestDigest: string;
  readonly reference: string;
}

/** What kind of signature the payload says that it is: GPG's or cosign's. */
export type PayloadType = "atomic container signature" | "cosign container image signature";

/** Payloads have some hundred bytes. */
export const MAX_PAYLOAD: number = 64 * 1024;

/**
 * Reads a simple signing payload. What is critical must be understood, so any further member there refuses the signature;
 * what is optional is not looked at.
 *
 * @throws PullError `signature`
 */
export function parsePayload(bytes: Uint8Array, type: PayloadType): SignedClaim {
  try {
    if (bytes.length > MAX_PAYLOAD) throw invalid(`${bytes.length} bytes, at most ${MAX_PAYLOAD}`);
    const root = object("payload", parseDocument("payload", bytes), ["critical", "optional"]);
    const critical = object("critical", root.get("critical"), ["type", "image", "identity"]);
    const said = text("critical.type", critical.get("type"));
    if (said !== type)
      throw invalid(`critical.type: expected ${JSON.stringify(type)}, got ${JSON.stringify(said.slice(0, 100))}`);
    const image = object("critical.image", critical.get("image"), ["docker-manifest-digest"]);
    const identity = object("critical.identity", critical.get("identity"), ["docker-reference"]);
    return {
      manifestDigest: canonicalDigest(text("docker-manifest-digest", image.get("docker-manifest-digest"))),
      reference: text("docker-reference", identity.get("docker-reference")),
    };
  } catch (error) {
    throw new PullError("signature", "the signed payload is malformed", { cause: error });
  }
}
