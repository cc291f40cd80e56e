import { mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";

import { detectAttester, detectDevices } from "@nacre/attesters";
import { systemKbsClock } from "@nacre/kbs-client/clock";
import { mayUseUnboundInitdata, withoutMiddleCompiler } from "@nacre/kata-sys-util";
import { componentLog, parseKernelCommandLine, Tracer, traceWanted } from "@nacre/protocols";
import type { GrpcMethod, GrpcServer } from "@nacre/vsock";
import { attestationPortAddress } from "@nacre/vsock/attestation-port";
import { offerInspector } from "@nacre/vsock/inspector-port";

import { AttestationAgent } from "./attestation-agent.ts";
import { lastWords } from "./error.ts";
import { EventLog } from "./eventlog/event-log.ts";
import { FLAVOUR } from "./flavour.ts";
import { bindGiven, readInitdata } from "./initdata.ts";
import { loadConfig } from "./load-config.ts";
import { logLevel } from "./log.ts";
import { parseOptions } from "./options.ts";
import { pinnedTee } from "./pinned-tee.ts";
import { fallbacks, systemPlatform } from "./platform.ts";
import { serve } from "./service/serve.ts";
import { systemHttp } from "./system-http.ts";
import { VERSION } from "./version.ts";

/** Beside the bundle in the guest, in its package otherwise. */
const grpcUrl: URL = import.meta.url.endsWith(".mjs")
  ? new URL("./grpc-server.mjs", import.meta.url)
  : new URL(import.meta.resolve("@nacre/vsock/grpc-server"));

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2), FLAVOUR);
  if (options.version) {
    process.stdout.write(`attestation-agent ${VERSION} (flavour: ${FLAVOUR})\n`);
    return;
  }
  withoutMiddleCompiler();
  const kernel = parseKernelCommandLine(readFileSync("/proc/cmdline", "utf8"));
  await offerInspector("attestation-agent", kernel);
  const { env } = process;
  const { config, unknownKeys } = await loadConfig({ file: options.config, env, kernel, flavour: FLAVOUR });
  const log = componentLog("attestation-agent", logLevel(env["RUST_LOG"], config.logLevel), (line) =>
    process.stderr.write(line),
  );
  const tracer = new Tracer({
    subject: "attestation-agent",
    now: () => process.hrtime.bigint(),
    write: (text) => log("info", text),
  });
  tracer.decide(traceWanted(kernel));
  // Not otherwise: `performance` costs memory.
  if (tracer.on) tracer.started(performance.nodeTiming.duration, performance.nodeTiming.bootstrapComplete);
  for (const key of unknownKeys) log("warn", `configuration: ${key} is unknown and says nothing`);

  const platform = systemPlatform(env);
  const allowed = fallbacks();
  const attester = await detectAttester(platform, allowed, pinnedTee());
  const devices = detectDevices(platform, allowed);
  log("info", `TEE ${attester.tee}, devices: ${devices.map(({ tee }) => tee).join(", ") || "none"}`);
  if (attester.tee === "sample") log("warn", "no TEE platform detected: evidence proves nothing");
  if (attester.tee === "tpm") log("warn", "nothing binds this TPM to a TEE");

  // Before the socket: who connects may rely on it.
  const initdata = readInitdata(options);
  await bindGiven(initdata, attester, mayUseUnboundInitdata(), log);
  const { measurement } = attester;
  const eventLog =
    config.eventLog.enabled && measurement !== undefined
      ? await EventLog.open(measurement, config.eventLog.initPcr)
      : undefined;

  const agent = new AttestationAgent({
    config,
    attester,
    devices,
    initdata: initdata?.document,
    eventLog,
    http: systemHttp(config.kbs, env),
    clock: systemKbsClock,
    log,
  });
  const ended = Promise.withResolvers<string>();
  // Before the socket opens: who sees it may end the agent at once.
  for (const name of ["SIGTERM", "SIGINT", "SIGHUP"]) process.once(name, ended.resolve);
  mkdirSync(dirname(options.socket.slice("unix://".length)), { recursive: true, mode: 0o755 });
  const serving = await serve({
    agent,
    log,
    socket: options.socket,
    hostAddress: attestationPortAddress(kernel),
    grpcAddress: options.grpcAddress === undefined ? undefined : `tcp://${options.grpcAddress}`,
    loadGrpc: () => import(grpcUrl.href) as Promise<{ createGrpcServer(methods: readonly GrpcMethod[]): GrpcServer }>,
  });
  tracer.mark("listening");
  log("info", `listening on ${serving.addresses.join(", ")}`);

  const signal = await ended.promise;
  log("info", `ending on ${signal}`);
  await serving.close();
  process.exit(0);
}

function fail(error: unknown): never {
  process.stderr.write(`${lastWords(error)}\n`);
  process.exit(1);
}

main().catch(fail);
