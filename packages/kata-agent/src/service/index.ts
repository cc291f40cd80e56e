import { AgentService, Code, type Init } from "@nacre/protocols";
import { type CallContext, type Handlers, RpcError } from "@nacre/ttrpc";

import { debugQuote } from "../debug-quote.ts";
import type { GatedMethod } from "../gate.ts";
import { containerHandlers } from "./containers.ts";
import type { AgentParts } from "./deps.ts";
import { networkHandlers } from "./network.ts";
import { processHandlers, readHandlers } from "./processes.ts";
import { toRpcError } from "./rpc-error.ts";
import { sandboxHandlers } from "./sandbox.ts";
import { handlerName, UNIMPLEMENTED_METHODS } from "./unimplemented.ts";

export type { AgentParts } from "./deps.ts";
export { healthHandlers } from "./health.ts";
export { traced } from "./traced.ts";
export { UNIMPLEMENTED_METHODS } from "./unimplemented.ts";

type AnyHandler = (request: object, context: CallContext) => Promise<Init<object>> | Init<object>;

/**
 * All 42 methods of `grpc.AgentService`: each request meets the policy first, except that ReadStdout and ReadStderr
 * ask it after the reading; then its handler, or UNIMPLEMENTED.
 */
export function agentHandlers(parts: AgentParts): Handlers<typeof AgentService> {
  const methods = AgentService.methods as unknown as Readonly<Record<string, GatedMethod>>;
  const handlers: Record<string, AnyHandler> = {};
  const add = (name: string, handler: AnyHandler): void => {
    const method = methods[name];
    if (method === undefined) throw new Error(`no method ${name} in AgentService`);
    handlers[name] = async (request, context) => {
      try {
        return await handler(request, context);
      } catch (error) {
        const rpcError = toRpcError(error);
        parts.log.warning("call failed", { method: name, code: rpcError.code, error: rpcError.message });
        throw rpcError;
      }
    };
  };
  const gated = (name: string, handler: AnyHandler): void => {
    const method = methods[name];
    if (method === undefined) throw new Error(`no method ${name} in AgentService`);
    add(name, async (request, context) => {
      await parts.gate.require(method, request, context.signal);
      return handler(request, context);
    });
  };
  const served = {
    ...containerHandlers(parts),
    ...processHandlers(parts),
    ...sandboxHandlers(parts),
    ...networkHandlers(parts),
  };
  for (const [name, handler] of Object.entries(served)) gated(name, handler as AnyHandler);
  for (const [name, handler] of Object.entries(readHandlers(parts))) add(name, handler as AnyHandler);
  for (const name of UNIMPLEMENTED_METHODS) {
    gated(name, () => {
      throw new RpcError(Code.UNIMPLEMENTED, debugQuote(`${handlerName(name)} is not implemented in kata-agent`));
    });
  }
  return handlers;
}
