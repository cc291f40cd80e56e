/**
 * What went wrong. `tar`, `unsafe`, `limit`, `digest`, `unsupported`, `signature` are the image's fault, `no-space` and `storage` the
 * guest's, `bundle` and `configuration` the caller's; `pull` wraps one of them for the caller of a whole pull.
 */
export type PullErrorCode =
  | "tar"
  | "unsafe"
  | "limit"
  | "digest"
  | "unsupported"
  | "signature"
  | "no-space"
  | "storage"
  | "bundle"
  | "configuration"
  | "worker"
  | "reference"
  | "pull";

/** Every failure of this package that is not the registry's (those are `OciError`). */
export class PullError extends Error {
  override readonly name = "PullError";
  readonly code: PullErrorCode;

  constructor(code: PullErrorCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
  }
}

/** Chains longer than this are cut: they come from code, not from users. */
const MAX_CAUSES = 8;

/** A registry can put megabytes into what is quoted of it; an answer of 4 MiB would not reach the caller at all. */
const MAX_TEXT = 4000;
/** Control characters, among them those that steer terminals and forge lines of a log. */
const CONTROL = /[\p{Cc}\u2028\u2029]+/gu;

/** The messages of an error and of its causes, joined by `: `; repeated ones once. One line, never a stack. */
export function describeError(error: unknown): string {
  const texts: string[] = [];
  for (let at: unknown = error, n = 0; at !== undefined && n < MAX_CAUSES; n += 1) {
    const whole = at instanceof Error ? at.message : typeof at === "string" ? at : "unknown failure";
    const text = (whole.length > MAX_TEXT ? `${whole.slice(0, MAX_TEXT)}…` : whole).replaceAll(CONTROL, " ");
    if (text !== "" && texts.at(-1)?.includes(text) !== true) texts.push(text);
    at = at instanceof Error ? at.cause : undefined;
  }
  return texts.join(": ");
}

/** Gives an error of the file system its meaning: a full disk is told from all other faults of storage. */
export function storageError(what: string, error: unknown): PullError {
  if (error instanceof PullError) return error;
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new PullError("no-space", `${what}: no space left for the image`, { cause: error });
  }
  return new PullError("storage", what, { cause: error });
}
