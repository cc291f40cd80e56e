import { Code } from "@nacre/protocols";
import { messageWithCauses, RpcError } from "@nacre/ttrpc";

import { AgentError } from "../error.ts";

/**
 * The status that goes to the host: our own errors with their code, everything else INTERNAL, with message and causes
 * and never a stack (section 9.6).
 */
export function toRpcError(error: unknown): RpcError {
  if (error instanceof RpcError) return error;
  const code = error instanceof AgentError ? error.code : Code.INTERNAL;
  return new RpcError(code, messageWithCauses(error), { cause: error });
}
