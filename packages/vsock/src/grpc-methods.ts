import type { MethodDescriptor, ServiceDescriptor } from "@nacre/protocols";
import type { CallContext, Handlers } from "@nacre/ttrpc";

import type { GrpcMethod } from "./grpc-server.ts";

/** What a handler for ttRPC is told of a call that came by gRPC. */
class GrpcContext implements CallContext {
  readonly signal: AbortSignal;
  readonly deadline = undefined;
  readonly metadata: ReadonlyMap<string, readonly string[]> = new Map();
  readonly method: string;
  readonly #secrets: Uint8Array[] = [];

  constructor(method: string, signal: AbortSignal) {
    this.method = method;
    this.signal = signal;
  }

  zeroAfter(bytes: Uint8Array): void {
    this.#secrets.push(bytes);
  }

  zero(): void {
    for (const bytes of this.#secrets) bytes.fill(0);
  }
}

/** A service's handlers for ttRPC, for gRPC. Methods without one are unimplemented there, too. */
export function grpcMethods<S extends ServiceDescriptor>(service: S, handlers: Handlers<S>): GrpcMethod[] {
  const all = handlers as Readonly<
    Record<string, ((request: object, context: CallContext) => Promise<object> | object) | undefined>
  >;
  const methods: Readonly<Record<string, MethodDescriptor<object, object>>> = service.methods;
  return Object.entries(methods).flatMap(([name, method]) => {
    const handler = all[name];
    if (handler === undefined) return [];
    const answer = async (request: Uint8Array, signal: AbortSignal): Promise<Uint8Array> => {
      const context = new GrpcContext(method.path, signal);
      try {
        return method.encodeResponse(await handler(method.decodeRequest(request), context));
      } finally {
        context.zero();
      }
    };
    return [{ path: method.path, answer }];
  });
}
