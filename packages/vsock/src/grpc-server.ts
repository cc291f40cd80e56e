import type { Duplex } from "node:stream";

import {
  Metadata,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { encode } from "@nacre/protocols";
import type { StatusDetail } from "@nacre/ttrpc";

/** A method as this server needs it: bytes in, bytes out. */
export interface GrpcMethod {
  readonly path: string;
  /** Resolves with the response; rejects with what has a code, a message and, for programs, details. */
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
/** The trailer that holds a google.rpc.Status. */
const DETAILS = "grpc-status-details-bin";

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
    done(statusOf(error as Failure));
  }
}

interface Failure {
  readonly code?: unknown;
  readonly message?: string;
  readonly details?: readonly StatusDetail[];
}

function statusOf({ code: given, message = "", details = [] }: Failure): object {
  const code = typeof given === "number" ? given : INTERNAL;
  if (details.length === 0) return { code, details: message };
  const metadata = new Metadata();
  metadata.set(DETAILS, Buffer.from(encode("google.rpc.Status", { code, message, details })));
  return { code, details: message, metadata };
}

type Done = (error: object | null, response?: Buffer) => void;

interface UnaryCall {
  readonly request: Buffer;
  once(event: "cancelled", listener: () => void): void;
}
