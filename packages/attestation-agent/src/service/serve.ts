import { type ComponentLog, AttestationAgentService } from "@nacre/protocols";
import { messageWithCauses, TtrpcServer } from "@nacre/ttrpc";
import { type GrpcMethod, grpcMethods, type GrpcServer, type RpcServing, serveRpc } from "@nacre/vsock";

import type { AttestationAgent } from "../attestation-agent.ts";
import { agentHandlers, GRPC_SENTENCES, ttrpcHandlers } from "./handlers.ts";

export interface ServeOptions {
  readonly agent: AttestationAgent;
  readonly log: ComponentLog;
  readonly socket: string;
  /** `tcp://…`, for gRPC alone. */
  readonly grpcAddress: string | undefined;
  readonly loadGrpc: () => Promise<{ createGrpcServer(methods: readonly GrpcMethod[]): GrpcServer }>;
}

/** Speaks ttRPC and gRPC on one socket; the two have sentences of their own. */
export async function serve({ agent, log, socket, grpcAddress, loadGrpc }: ServeOptions): Promise<RpcServing> {
  const ttrpc = new TtrpcServer({
    onError: (error, method) => log("error", `${method}: ${messageWithCauses(error)}`),
  }).addService(AttestationAgentService, ttrpcHandlers(agent, log));
  return await serveRpc({
    ttrpc,
    socket,
    grpcAddress,
    openGrpc: async () => {
      const grpc = await loadGrpc();
      return grpc.createGrpcServer(grpcMethods(AttestationAgentService, agentHandlers(agent, log, GRPC_SENTENCES)));
    },
    onError: (error) => log("error", `gRPC: ${messageWithCauses(error)}`),
  });
}
