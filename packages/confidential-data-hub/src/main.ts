import { mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import {
  componentLog,
  GetResourceService,
  ImagePullService,
  parseKernelCommandLine,
  Tracer,
  traceWanted,
} from "@nacre/protocols";
import { messageWithCauses, TtrpcServer } from "@nacre/ttrpc";
import { listen, parseAddress } from "@nacre/vsock";
import { offerInspector } from "@nacre/vsock/inspector-port";
import { imageService, type Puller } from "./image-service.ts";
import { loadConfig } from "./load-config.ts";
import { parseOptions } from "./options.ts";
import { openResources } from "./resource/open-resources.ts";
import { resourceService } from "./resource/resource-service.ts";
import { VERSION } from "./version.ts";

/** The unpack thread's entry: beside the bundle in the guest, in its package otherwise. */
const workerUrl: URL = import.meta.url.endsWith(".mjs")
  ? new URL("./unpack-worker.mjs", import.meta.url)
  : new URL(import.meta.resolve("@nacre/image-puller/unpack-worker"));

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
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

  const server = new TtrpcServer({
    onError: (error, method) => log("error", `${method}: ${messageWithCauses(error)}`),
  });
  const pullerLoaded = Promise.withResolvers<() => Promise<Puller>>();
  server.addService(
    ImagePullService,
    imageService(async () => (await pullerLoaded.promise)(), log, tracer),
  );
  server.addService(GetResourceService, resourceService(openResources(config, process.env), log));

  const address = parseAddress(config.socket);
  if (address.scheme === "unix" && !address.path.startsWith("@")) {
    mkdirSync(dirname(address.path), { recursive: true, mode: 0o755 });
  }
  // The socket is what the agent waits for: everything must be able to answer by now.
  const listener = await listen(address, (transport) => void server.serve(transport));
  tracer.mark("listening");
  log("info", `listening on ${listener.address}`);

  const end = (signal: string): void => {
    log("info", `ending on ${signal}`);
    // Pulls in flight are aborted and clean up; when they have, nothing keeps the process any more.
    Promise.all([listener.close(), server.close({ graceMs: 0 })]).catch(fail);
  };
  process.once("SIGTERM", end);
  process.once("SIGINT", end);

  // The socket is open early, and all that a pull needs has run once by the time that the first container is created.
  const { preparePuller } = await import("./open-puller.ts");
  pullerLoaded.resolve(preparePuller(config.image, workerUrl, log, tracer));
}

function fail(error: unknown): never {
  process.stderr.write(`confidential-data-hub: ${messageWithCauses(error)}\n`);
  process.exit(1);
}

main().catch(fail);
