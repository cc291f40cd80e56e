import { createServer } from "node:net";
import type { AddressInfo } from "node:net";

import { formatWrapOutput, OcicryptError, parseWrapInput } from "@nacre/ocicrypt";
import { Code, KeyProviderService } from "@nacre/protocols";
import { type Handlers, RpcError } from "@nacre/ttrpc";
import { grpcMethods } from "@nacre/vsock";
import { createGrpcServer } from "@nacre/vsock/grpc-server";

import { NacreError } from "../error.ts";
import { layerKey, parseLayerKeyOptions, wrapOptions } from "./key.ts";
import { type KeyRegistry, registerKey } from "./register-key.ts";

/** The provider's name, in ocicrypt's configuration and in images. */
const PROVIDER = "attestation-agent";

export interface KeyProviderOptions {
  readonly host: string;
  readonly port: number;
  /** Where new keys go; without it only keys of files are taken, which guests' brokers have already. */
  readonly registry: KeyRegistry | undefined;
  readonly log: (line: string) => void;
}

export interface RunningKeyProvider extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
}

/** Wraps keys for whoever encrypts images, by gRPC as ocicrypt speaks it (guest-components' coco_keyprovider). */
export async function serveKeyProvider(options: KeyProviderOptions): Promise<RunningKeyProvider> {
  const { host, port } = options;
  const grpc = createGrpcServer(grpcMethods(KeyProviderService, handlers(options)));
  const server = createServer((socket) => grpc.serve(socket));
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => reject(new NacreError("environment", `${host}:${port}: cannot listen`, { cause })));
    server.listen({ host, port }, resolve);
  });
  const address = server.address() as AddressInfo;
  return {
    host: address.address,
    port: address.port,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      grpc.close();
      await closed;
    },
  };
}

function handlers({ registry, log }: KeyProviderOptions): Handlers<typeof KeyProviderService> {
  return {
    async WrapKey({ KeyProviderKeyWrapProtocolInput: input }) {
      try {
        const { options, parameters } = parseWrapInput(input, PROVIDER);
        const asked = parseLayerKeyOptions(parameters[0] ?? "");
        if (registry === undefined && asked.keypath === undefined) {
          throw new NacreError("usage", "expected keypath=FILE: no key broker takes a new key");
        }
        const key = layerKey(asked);
        try {
          // Before the image is made: one that no guest can open is of no use.
          if (registry !== undefined) await registerKey(registry, key.kid, key.key);
          const packet = wrapOptions(key, options);
          log(`wrapped the key of a layer for ${key.kid}`);
          return { KeyProviderKeyWrapProtocolOutput: formatWrapOutput(packet) };
        } finally {
          key.key.fill(0);
          options.fill(0);
        }
      } catch (error) {
        const known = error instanceof NacreError || error instanceof OcicryptError;
        const message = known ? error.message : "it failed";
        log(`a key was not wrapped: ${message}`);
        throw new RpcError(known ? Code.INVALID_ARGUMENT : Code.INTERNAL, `encrypt failed: ${message}`);
      }
    },
    UnWrapKey() {
      throw new RpcError(Code.UNIMPLEMENTED, "only a guest unwraps keys: its data hub");
    },
  };
}
