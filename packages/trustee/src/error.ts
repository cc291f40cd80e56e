/**
 * Whose fault it is, and of which kind. The peer's: evidence that cannot be read (`evidence`), that is signed by nobody
 * we trust (`signature`), that is genuine but says something else than expected (`mismatch`), or of a kind that is not
 * verified here (`unsupported`); a request that cannot be meant (`request`), a token (`token`), a reference value
 * (`reference-value`), a policy's text (`policy-text`). The administrator's: `config`, and a policy that fails when it is
 * asked (`policy`). The environment's, and the only ones worth another try: `storage`, `collateral`, and `remote`, another
 * service, which may also have refused.
 */
export type TrusteeErrorCode =
  | "collateral"
  | "config"
  | "evidence"
  | "mismatch"
  | "policy"
  | "policy-text"
  | "reference-value"
  | "remote"
  | "request"
  | "signature"
  | "storage"
  | "token"
  | "unsupported";

/** The one error of this package. Messages hold no secrets, tokens or resources. */
export class TrusteeError extends Error {
  override readonly name: string = "TrusteeError";
  readonly code: TrusteeErrorCode;

  constructor(code: TrusteeErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** Message and causes on one line, for the log; what a client is told is decided elsewhere. */
export function errorText(error: unknown): string {
  const parts: string[] = [];
  for (let at: unknown = error; at !== undefined && parts.length < 8;) {
    parts.push(at instanceof Error ? at.message : typeof at === "string" ? at : "no error");
    at = at instanceof Error ? at.cause : undefined;
  }
  return oneLine(parts.join(": "));
}

/** Characters that end a line for some reader, or steer a terminal. */
const CONTROL = /[\p{Cc}\p{Cf}\u2028\u2029]+/gu;

/** A text for the log: clients choose parts of it, and must not write lines of their own. */
export function oneLine(text: string): string {
  return text.replaceAll(CONTROL, " ");
}
