import { formatReference, type Reference } from "oci-client";
import { describeError, PullError } from "../error.ts";
import { identityHolds } from "./identity.ts";
import { parsePayload, type PayloadType, type SignedClaim } from "./payload.ts";
import type { KeySource, Requirement, SignaturePolicy } from "./policy.ts";
import { requirementsFor } from "./scope.ts";
import type { SignatureSource } from "./signature-source.ts";
import { SigstoreKey } from "./sigstore-key.ts";

/** A set of GPG keys that some signature may be by. */
export interface SimpleSigningKeys {
  /** The signed payload, where a valid key of these has signed the whole of it. @throws PullError `signature` with the reason */
  open(signed: Uint8Array): Promise<Uint8Array>;
}

/** What the judge needs of the world. */
export interface SignaturePorts {
  /** The bytes behind a key's path or URI. */
  readonly read: (path: string, signal?: AbortSignal) => Promise<Uint8Array>;
  readonly openKeys: (keyrings: readonly Uint8Array[]) => Promise<SimpleSigningKeys>;
}

/** The image that was found under a name; the digests have been verified. */
export interface FoundImage {
  /** The name that was asked for, whatever mirror it came from. */
  readonly asked: Reference;
  readonly indexDigest?: string | undefined;
  readonly manifestDigest: string;
}

/** By what an image was let in, for the log and the tools. */
export interface SignatureVerdict {
  readonly scope: string;
  /** One for each requirement: `insecureAcceptAnything`, or what was signed. */
  readonly accepted: readonly string[];
}

/** How many reasons a refusal tells. */
const MAX_REASONS = 8;

/**
 * Holds an image against a policy: all requirements of its scope must be fulfilled, each by one good signature over the digest of
 * the platform's manifest or of the index that names it.
 *
 * @throws PullError `signature`, `Image policy rejected: Denied by policy` with the reason
 */
export async function judge(
  policy: SignaturePolicy,
  image: FoundImage,
  source: SignatureSource,
  ports: SignaturePorts,
  signal?: AbortSignal,
): Promise<SignatureVerdict> {
  const { scope, requirements } = requirementsFor(policy, image.asked);
  const accepted: string[] = [];
  for (const requirement of requirements) {
    signal?.throwIfAborted();
    try {
      accepted.push(await fulfil(requirement, image, source, ports, signal));
    } catch (error) {
      signal?.throwIfAborted();
      // What the environment did may pass; what the policy says of the image does not.
      if (isTransient(error)) throw error;
      const what = `${formatReference(image.asked)}, scope ${scope}, ${requirement.type}`;
      throw new PullError("signature", `Image policy rejected: Denied by policy: ${what}`, { cause: error });
    }
  }
  return { scope, accepted };
}

function isTransient(error: unknown): boolean {
  return error instanceof Error && "transient" in error && error.transient === true;
}

async function fulfil(
  requirement: Requirement,
  image: FoundImage,
  source: SignatureSource,
  ports: SignaturePorts,
  signal: AbortSignal | undefined,
): Promise<string> {
  switch (requirement.type) {
    case "insecureAcceptAnything":
      return requirement.type;
    case "reject":
      throw new PullError("signature", "the policy rejects every image of this scope");
    case "sigstoreSigned": {
      const keys = (await keyFiles(requirement.keys, ports, signal)).map((pem) => SigstoreKey.parse(pem));
      return await firstGood(requirement, image, COSIGN, async (digest) =>
        (await source.sigstore(digest, signal)).map(({ payload, signature }) => () => {
          if (keys.some((key) => key.verifies(payload, signature))) return Promise.resolve(payload);
          throw new PullError("signature", "not signed by a key of the policy");
        }),
      );
    }
    case "signedBy": {
      const keys = await ports.openKeys(await keyFiles(requirement.keys, ports, signal));
      return await firstGood(requirement, image, GPG, async (digest) =>
        (await source.simple(digest, signal)).map((signed) => () => keys.open(signed)),
      );
    }
  }
}

const COSIGN: PayloadType = "cosign container image signature";
const GPG: PayloadType = "atomic container signature";

/** Looks at the signatures of both digests until one is good. */
async function firstGood(
  { type, identity }: Extract<Requirement, { identity: unknown }>,
  image: FoundImage,
  payloadType: PayloadType,
  signaturesOf: (digest: string) => Promise<readonly (() => Promise<Uint8Array>)[]>,
): Promise<string> {
  const digests = [image.manifestDigest, ...(image.indexDigest === undefined ? [] : [image.indexDigest])];
  const reasons: string[] = [];
  for (const digest of digests) {
    for (const open of await signaturesOf(digest)) {
      try {
        const claim = parsePayload(await open(), payloadType);
        checkClaim(claim, digest);
        if (!identityHolds(identity, image.asked, claim.reference)) {
          throw new PullError(
            "signature",
            `signed as ${JSON.stringify(claim.reference.slice(0, 300))}, which ${identity.type} does not take for ${formatReference(image.asked)}`,
          );
        }
        return `${type} ${digest} as ${claim.reference}`;
      } catch (error) {
        if (!(error instanceof PullError && error.code === "signature")) throw error;
        reasons.push(describeError(error));
      }
    }
  }
  if (reasons.length === 0) throw new PullError("signature", `no signature was found for ${digests.join(" or ")}`);
  const more = reasons.length > MAX_REASONS ? `; and ${reasons.length - MAX_REASONS} more` : "";
  throw new PullError("signature", `no signature is good: ${reasons.slice(0, MAX_REASONS).join("; ")}${more}`);
}

/** A signature counts for the digest that it says, not for the place where it lies. */
function checkClaim({ manifestDigest }: SignedClaim, digest: string): void {
  if (manifestDigest !== digest) {
    throw new PullError("signature", `it is over ${manifestDigest}, not over ${digest}`);
  }
}

async function keyFiles(
  sources: readonly KeySource[],
  ports: SignaturePorts,
  signal: AbortSignal | undefined,
): Promise<readonly Uint8Array[]> {
  return await Promise.all(sources.map(async (key) => ("data" in key ? key.data : await ports.read(key.path, signal))));
}
