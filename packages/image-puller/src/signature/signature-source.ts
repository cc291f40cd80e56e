/** A signature in cosign's form: the payload and what was signed over it, each still to be checked. */
export interface SigstoreSignature {
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
}

/** Where signatures of an image lie. Nothing of what it gives is trusted. */
export interface SignatureSource {
  /** Those that are attached to the manifest of this digest in the registry. */
  sigstore(manifestDigest: string, signal?: AbortSignal): Promise<readonly SigstoreSignature[]>;
  /** GPG's, from the places that the configuration names. @throws PullError `configuration` where it names none */
  simple(manifestDigest: string, signal?: AbortSignal): Promise<readonly Uint8Array[]>;
}

/** More signatures than anybody makes are not looked at: each costs a download and a verification. */
export const MAX_SIGNATURES = 64;
