import { mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import {
  componentLog,
  GetResourceService,
  ImagePullService,
  KeyProviderService,
  parseKernelCommandLine,
  SealedSecretService,
  SecureMountService,
  Tracer,
  traceWanted,
} from "@nacre/protocols";
import { messageWithCauses } from "@nacre/ttrpc";
import { type GrpcMethod, type GrpcServer, parseAddress, serveRpc } from "@nacre/vsock";
import { offerInspector } from "@nacre/vsock/inspector-port";
import { FLAVOUR } from "./flavour.ts";
import { keyProviderService } from "./key/key-provider-service.ts";
import { type KmsModule, kmsOpener } from "./kms/open-kms.ts";
import { imageService, type Puller } from "./image-service.ts";
import { loadConfig } from "./load-config.ts";
import { parseOptions } from "./options.ts";
import { once } from "./once.ts";
import { writeCredentials } from "./resource/credentials.ts";
import { openResources } from "./resource/open-resources.ts";
import { resourceService } from "./resource/resource-service.ts";
import { sealedSecretService } from "./secret/sealed-secret-service.ts";
import type { Unsealer } from "./secret/unsealer.ts";
import { secureMountService } from "./secure-mount-service.ts";
import { HubServices } from "./services.ts";
import { VERSION } from "./version.ts";

/** The unpack thread's entry: beside the bundle in the guest, in its package otherwise. */
const workerUrl: URL = import.meta.url.endsWith(".mjs")
  ? new URL("./unpack-worker.mjs", import.meta.url)
  : new URL(import.meta.resolve("@nacre/image-puller/unpack-worker"));

/** What judges images' signatures: the same. */
const signaturesUrl: URL = import.meta.url.endsWith(".mjs")
  ? new URL("./image-signatures.mjs", import.meta.url)
  : new URL(import.meta.resolve("@nacre/image-puller/signatures"));

/** What speaks gRPC: the same. */
const grpcUrl: URL = import.meta.url.endsWith(".mjs")
  ? new URL("./grpc-server.mjs", import.meta.url)
  : new URL(import.meta.resolve("@nacre/vsock/grpc-server"));

/** For all of them; the agent gives up on a component much earlier unless it is told otherwise. */
const CREDENTIALS_TIMEOUT_MS = 150_000;

/** Clients of key management services: the same. */
const kmsUrl: URL = import.meta.url.endsWith(".mjs")
  ? new URL("./kms-clients.mjs", import.meta.url)
  : new URL(import.meta.resolve("@nacre/confidential-data-hub/kms-clients"));

interface GrpcModule {
  createGrpcServer(this: void, methods: readonly GrpcMethod[]): GrpcServer;
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2), FLAVOUR);
  if (options.version) {
    process.stdout.write(`confidential-data-hub ${VERSION}\n`);
    return;
  }
  const kernel = parseKernelCommandLine(readFileSync("/proc/cmdline", "utf8"));
  await offerInspector("confidential-data-hub", kernel);
  const config = await loadConfig({ option: options.config, env: process.env });
  const log = componentLog("confidential-data-hub", config.logLevel, (line) => process.stderr.write(line));
  const tracer = new Tracer({
    subject: "confidential-data-hub",
    now: () => process.hrtime.bigint(),
    write: (text) => log("info", text),
  });
  tracer.decide(traceWanted(kernel));
  // Not otherwise: `performance` costs memory.
  if (tracer.on) tracer.started(performance.nodeTiming.duration, performance.nodeTiming.bootstrapComplete);

  const resources = await openResources(config, process.env);
  if (config.credentials.length > 0) {
    // Before the socket: who is served may rely on them, and one that is missing ends the start.
    await writeCredentials(config.credentials, resources, AbortSignal.timeout(CREDENTIALS_TIMEOUT_MS));
    log("info", `${config.credentials.length} credentials are in place`);
  }
  const openKms = kmsOpener({
    resources,
    env: process.env,
    loadClients: async () => (await import(kmsUrl.href)) as KmsModule,
  });
  const loadUnsealer = async (): Promise<Unsealer> => {
    const { Unsealer, VerificationKeys } = await import("./secret/index.ts");
    const keys = new VerificationKeys(resources);
    return new Unsealer({ keys, openKms, skipVerification: config.skipSecretVerification });
  };
  if (config.skipSecretVerification) log("warn", "sealed secrets are taken whoever signed them");
  const pullerLoaded = Promise.withResolvers<() => Promise<Puller>>();
  const services = new HubServices((error, method) => log("error", `${method}: ${messageWithCauses(error)}`))
    .add(
      ImagePullService,
      imageService(async () => (await pullerLoaded.promise)(), log, tracer),
    )
    .add(GetResourceService, resourceService(resources, log))
    .add(SealedSecretService, sealedSecretService(once(loadUnsealer), log))
    .add(
      KeyProviderService,
      keyProviderService(
        once(async () => new (await import("./key/unwrapper.ts")).Unwrapper({ resources, openKms })),
        log,
      ),
    )
    .add(SecureMountService, secureMountService(log));

  const address = parseAddress(config.socket);
  if (address.scheme === "unix" && !address.path.startsWith("@")) {
    mkdirSync(dirname(address.path), { recursive: true, mode: 0o755 });
  }
  // The socket is what the agent waits for: everything must be able to answer by now.
  const serving = await serveRpc({
    ttrpc: services.ttrpc,
    socket: config.socket,
    grpcAddress: options.grpcAddress === undefined ? undefined : `tcp://${options.grpcAddress}`,
    openGrpc: async () => ((await import(grpcUrl.href)) as GrpcModule).createGrpcServer(services.grpc()),
    onError: (error) => log("error", `gRPC: ${messageWithCauses(error)}`),
    graceMs: 0,
  });
  tracer.mark("listening");
  log("info", `listening on ${serving.addresses.join(", ")}`);

  const end = (signal: string): void => {
    log("info", `ending on ${signal}`);
    // Pulls in flight are aborted and clean up; when they have, nothing keeps the process any more.
    resources.close();
    serving.close().catch(fail);
  };
  process.once("SIGTERM", end);
  process.once("SIGINT", end);

  // The socket is open early, and all that a pull needs has run once by the time that the first container is created.
  const { preparePuller } = await import("./open-puller.ts");
  pullerLoaded.resolve(
    preparePuller(config.image, { worker: workerUrl, signatures: signaturesUrl }, resources, log, tracer),
  );
}

function fail(error: unknown): never {
  process.stderr.write(`confidential-data-hub: ${messageWithCauses(error)}\n`);
  process.exit(1);
}

main().catch(fail);
