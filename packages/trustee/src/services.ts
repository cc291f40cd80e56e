import { attestationMethods } from "./grpc/attestation-api.ts";
import { attestationRest } from "./grpc/attestation-rest.ts";
import { referenceMethods } from "./grpc/reference-api.ts";
import type { RemoteChannel } from "./grpc/remote.ts";
import { serveServices } from "./grpc/service-server.ts";
import type { RunningServer } from "./kbs/http-server.ts";
import { ReferenceValues } from "./rvps/reference-values.ts";
import type { Storage } from "./storage/storage.ts";
import { type AttestationOptions, loadRegorus, makeAttestationService } from "./trustee.ts";

/** A service by itself, on one port. */
export interface ServiceOptions {
  readonly storage: Storage;
  readonly host: string;
  readonly port: number;
  /** Unix milliseconds. Default: the machine's clock. */
  readonly now?: () => number;
  readonly log: (line: string) => void;
}

/**
 * An attestation service alone, as upstream's grpc-as and restful-as: gRPC, REST and the reference values' gRPC on one
 * port. Whoever reaches it may set policies and reference values. Rejects with `config` or `storage`.
 */
export async function serveAttestation(
  options: ServiceOptions & { readonly attestation: AttestationOptions },
): Promise<RunningServer> {
  const { storage, host, port, log, attestation, now = Date.now } = options;
  const channels: RemoteChannel[] = [];
  const end = async (): Promise<void> => {
    for (const channel of channels) channel.close();
    await storage.close();
  };
  return await opened(end, async () => {
    const made = await makeAttestationService({ ...attestation, storage, module: await loadRegorus(), now }, channels);
    const methods = [...attestationMethods(made.service), ...referenceMethods(made.referenceValues)];
    return await serveServices({ host, port, methods, http: attestationRest(made.service, log), log });
  });
}

/** Reference values alone, as upstream's rvps. Rejects with `config`. */
export async function serveReferenceValues(options: ServiceOptions): Promise<RunningServer> {
  const { storage, host, port, log, now = Date.now } = options;
  const methods = referenceMethods(new ReferenceValues(storage, now));
  return await opened(
    () => storage.close(),
    () => serveServices({ host, port, methods, log }),
  );
}

/** A server whose end is also that of what it stands on, as is its failure to start. */
async function opened(end: () => Promise<void>, start: () => Promise<RunningServer>): Promise<RunningServer> {
  let server: RunningServer;
  try {
    server = await start();
  } catch (error) {
    await end();
    throw error;
  }
  return {
    ...server,
    close: async () => {
      await server.close();
      await end();
    },
  };
}
