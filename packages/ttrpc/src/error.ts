import { Code } from "@nacre/protocols";

/** How long a status text may be. A cause chain that repeats a request must not become a frame that cannot be sent. */
export const MAX_STATUS_TEXT: number = 1 << 20;
/** How many causes are told; also ends a chain that loops. */
const MAX_CAUSES = 16;

/** What a status says for programs: a message in its encoded form and its type (google.protobuf.Any). */
export interface StatusDetail {
  /** `type.googleapis.com/` and the message's name. */
  readonly type_url: string;
  readonly value: Uint8Array;
}

/** A failure that has a ttRPC status. Handlers throw it; calls reject with it. */
export class RpcError extends Error {
  readonly code: Code;
  readonly details: readonly StatusDetail[];

  constructor(code: Code, message: string, opts?: { cause?: unknown; details?: readonly StatusDetail[] }) {
    super(message, opts);
    this.name = "RpcError";
    this.code = code;
    this.details = opts?.details ?? [];
  }

  /** Anything thrown, as a status: an RpcError as it is, all else INTERNAL with message and causes, never a stack. */
  static from(error: unknown): RpcError {
    if (error instanceof RpcError) return error;
    return new RpcError(Code.INTERNAL, messageWithCauses(error), { cause: error });
  }
}

function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message;
  return typeof error === "string" ? error : "unknown error";
}

/**
 * An error's message and its causes, laid out as Rust's anyhow prints them, because callers match on texts in that form:
 * one cause stands alone on its line, several are numbered.
 */
export function messageWithCauses(error: unknown): string {
  const causes: string[] = [];
  let at: unknown = error;
  while (at instanceof Error && at.cause !== undefined && causes.length < MAX_CAUSES) {
    at = at.cause;
    causes.push(messageOf(at));
  }
  const message = messageOf(error);
  if (causes.length === 0) return message;
  const lines =
    causes.length === 1
      ? causes.map((c) => `    ${c.replaceAll("\n", "\n    ")}`)
      : causes.map((c, i) => `${String(i).padStart(5)}: ${c.replaceAll("\n", "\n       ")}`);
  return `${message}\n\nCaused by:\n${lines.join("\n")}`;
}
