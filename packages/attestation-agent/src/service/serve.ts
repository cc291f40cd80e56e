import { type ComponentLog, AttestationAgentService } from "@nacre/protocols";
import { messageWithCauses, TtrpcServer } from "@nacre/ttrpc";
import { type GrpcMethod, grpcMethods, type GrpcServer, type RpcServing, serveRpc } from "@nacre/vsock";

import type { AttestationAgent } from "../attestation-agent.ts";
import { agentHandlers, GRPC_SENTENCES, ttrpcHandlers } from "./handlers.ts";

export interface ServeOptions {
  readonly agent: AttestationAgent;
  readonly log: ComponentLog;
  readonly socket: string;
  /** Where the machine that the guest runs on may speak both, too: `vsock://…`, or a socket that leads there. */
  readonly hostAddress: string | undefined;
  /** `tcp://…`, for gRPC alone. */
  readonly grpcAddress: string | undefined;
  readonly loadGrpc: () => Promise<{ createGrpcServer(methods: readonly GrpcMethod[]): GrpcServer }>;
}

/** Speaks ttRPC and gRPC on one socket; the two have sentences of their own. */
export async function serve(options: ServeOptions): Promise<RpcServing> {
  const { agent, log, socket, hostAddress, grpcAddress, loadGrpc } = options;
  const ttrpc = new TtrpcServer({
    onError: (error, method) => log("error", `${method}: ${messageWithCauses(error)}`),
  }).addService(AttestationAgentService, ttrpcHandlers(agent, log));
  return await serveRpc({
    ttrpc,
    socket,
    hostAddress,
    grpcAddress,
    openGrpc: async () => {
      const grpc = await loadGrpc();
      return grpc.createGrpcServer(grpcMethods(AttestationAgentService, agentHandlers(agent, log, GRPC_SENTENCES)));
    },
    onError: (error) => log("error", `gRPC: ${messageWithCauses(error)}`),
    onHostError: (error) => log("warn", `not for the host: ${messageWithCauses(error)}`),
  });
}
