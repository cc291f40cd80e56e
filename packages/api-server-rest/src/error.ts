/**
 * What was wrong: the command line (`usage`); what a container asked for (`request`); a component that is not there
 * (`away`), or that refused (`refused`).
 */
export type RestErrorCode = "away" | "refused" | "request" | "usage";

/** The one error of this package. */
export class RestError extends Error {
  override readonly name = "RestError";
  readonly code: RestErrorCode;

  constructor(code: RestErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
