import { Server, ServerCredentials, type ServiceDefinition, type UntypedServiceImplementation } from "@grpc/grpc-js";
import type { Duplex } from "node:stream";

/** A method as this server needs it: bytes in, bytes out. */
export interface GrpcMethod {
  readonly path: string;
  /** Resolves with the response; rejects with what has a code and a message. */
  answer(request: Uint8Array, signal: AbortSignal): Promise<Uint8Array>;
}

/** Speaks gRPC on connections that somebody else accepted. */
export interface GrpcServer {
  serve(connection: Duplex): void;
  close(): void;
}

/** One frame of a request: what ttRPC takes, too. */
const MAX_MESSAGE: number = 4 * 1024 * 1024;

const INTERNAL = 13;

/** In a file of its own in the guest, loaded with the first caller that speaks gRPC: its library is large. */
export function createGrpcServer(methods: readonly GrpcMethod[]): GrpcServer {
  const server = new Server({ "grpc.max_receive_message_length": MAX_MESSAGE });
  const definition: Record<string, ServiceDefinition[string]> = {};
  const implementation: UntypedServiceImplementation = {};
  for (const method of methods) {
    const { path } = method;
    definition[path] = {
      path,
      requestStream: false,
      responseStream: false,
      requestSerialize: (bytes: Buffer) => bytes,
      requestDeserialize: (bytes: Buffer) => bytes,
      responseSerialize: (bytes: Buffer) => bytes,
      responseDeserialize: (bytes: Buffer) => bytes,
    };
    implementation[path] = (call: UnaryCall, done: Done) => {
      void answerCall(method, call, done);
    };
  }
  server.addService(definition, implementation);
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  return {
    serve: (connection) => injector.injectConnection(connection),
    close: () => {
      injector.destroy();
      server.forceShutdown();
    },
  };
}

async function answerCall(method: GrpcMethod, call: UnaryCall, done: Done): Promise<void> {
  const gone = new AbortController();
  call.once("cancelled", () => gone.abort());
  try {
    const response = await method.answer(call.request, gone.signal);
    done(null, Buffer.from(response));
  } catch (error) {
    const { code, message } = error as { readonly code?: unknown; readonly message?: string };
    done({ code: typeof code === "number" ? code : INTERNAL, details: message ?? "" });
  }
}

type Done = (error: object | null, response?: Buffer) => void;

interface UnaryCall {
  readonly request: Buffer;
  once(event: "cancelled", listener: () => void): void;
}
