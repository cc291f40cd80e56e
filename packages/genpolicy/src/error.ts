/**
 * - `manifest`: not YAML, or not what Kubernetes takes.
 * - `unsupported`: Kubernetes takes it, but no policy can hold a host to it, or this one does not know how.
 * - `reference`: what the manifest refers to is in none of the documents.
 * - `image`: an image from which no process can be made.
 */
export type GenPolicyErrorCode = "manifest" | "unsupported" | "reference" | "image";

/** Why no policy was made. The message says where in the manifest. */
export class GenPolicyError extends Error {
  readonly code: GenPolicyErrorCode;

  constructor(code: GenPolicyErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "GenPolicyError";
    this.code = code;
  }
}
