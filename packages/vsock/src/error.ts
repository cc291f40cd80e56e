/**
 * - `address`: the address cannot be parsed or used so
 * - `in-use`: another server has the address
 * - `unsupported`: the kernel has no such socket family
 * - `refused`: nobody answers there
 * - `handshake`: the hybrid-vsock line is not what it should be, or the port behind it is not there
 * - `timeout`, `aborted`: given up
 * - `io`: any other failure of a system call
 */
export type VsockErrorCode =
  | "address"
  | "in-use"
  | "unsupported"
  | "refused"
  | "handshake"
  | "timeout"
  | "aborted"
  | "io";

/** The one error of this package. */
export class VsockError extends Error {
  readonly code: VsockErrorCode;

  constructor(code: VsockErrorCode, message: string, opts?: { cause?: unknown }) {
    super(message, opts);
    this.name = "VsockError";
    this.code = code;
  }

  /** Any failure of an operation on an address; errno names are mapped here and nowhere else. */
  static from(error: unknown, operation: string): VsockError {
    if (error instanceof VsockError) return error;
    const errno = (error as { code?: unknown } | null)?.code;
    const detail = error instanceof Error ? error.message : String(error);
    return new VsockError(codeOf(errno), `${operation}: ${detail}`, { cause: error });
  }
}

function codeOf(errno: unknown): VsockErrorCode {
  switch (errno) {
    case "EADDRINUSE":
      return "in-use";
    case "EAFNOSUPPORT":
    case "ENODEV":
    case "EPROTONOSUPPORT":
      return "unsupported";
    case "ECONNREFUSED":
    case "ECONNRESET":
    case "ENOENT":
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return "refused";
    case "ETIMEDOUT":
      return "timeout";
    case "ABORT_ERR":
      return "aborted";
    default:
      return "io";
  }
}
