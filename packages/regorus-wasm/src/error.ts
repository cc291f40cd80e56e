/**
 * - `rego`: the engine refused the policy, the data, the input or the evaluation; the message is its own.
 * - `timeout`: the evaluation took longer than its limit; the engine goes on.
 * - `poisoned`: the instance ended half-way (out of memory, stack overflow, a panic, ended from outside) and answers
 *   nothing any more. The owner makes a new one.
 * - `module`: the bytes are not the regorus module, or an engine was called that was disposed of or has not answered yet.
 */
export type RegoErrorCode = "rego" | "timeout" | "poisoned" | "module";

/** What went wrong in the Rego engine. */
export class RegoError extends Error {
  readonly code: RegoErrorCode;

  constructor(code: RegoErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "RegoError";
    this.code = code;
  }
}
