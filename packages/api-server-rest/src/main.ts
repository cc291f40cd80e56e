import { readFileSync } from "node:fs";

import { withoutMiddleCompiler } from "@nacre/kata-sys-util";
import { componentLog, LOG_LEVELS, parseKernelCommandLine, Tracer, traceWanted } from "@nacre/protocols";
import { messageWithCauses } from "@nacre/ttrpc";
import { offerInspector } from "@nacre/vsock/inspector-port";

import { Component } from "./component.ts";
import { serveHttp } from "./http-server.ts";
import { parseOptions } from "./options.ts";
import { Router } from "./router.ts";
import { VERSION } from "./version.ts";

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (options.version) {
    process.stdout.write(`api-server-rest ${VERSION}\n`);
    return;
  }
  withoutMiddleCompiler();
  const kernel = parseKernelCommandLine(readFileSync("/proc/cmdline", "utf8"));
  await offerInspector("api-server-rest", kernel);
  const level = LOG_LEVELS.find((name) => name === process.env["RUST_LOG"]) ?? "info";
  const log = componentLog("api-server-rest", level, (line) => process.stderr.write(line));
  const tracer = new Tracer({
    subject: "api-server-rest",
    now: () => process.hrtime.bigint(),
    write: (text) => log("info", text),
  });
  tracer.decide(traceWanted(kernel));
  // Not otherwise: `performance` costs memory.
  if (tracer.on) tracer.started(performance.nodeTiming.duration, performance.nodeTiming.bootstrapComplete);

  const ended = Promise.withResolvers<string>();
  for (const name of ["SIGTERM", "SIGINT", "SIGHUP"]) process.once(name, ended.resolve);
  const agent = new Component(options.agent, "Attestation Agent");
  const hub = new Component(options.hub, "CDH");
  const router = new Router({
    feature: options.feature,
    agent,
    hub,
    onError: (path, error) => log("error", `${JSON.stringify(path)}: ${messageWithCauses(error)}`),
  });
  const { host, port, feature } = options;
  const server = await serveHttp({ host, port, reply: (request) => router.reply(request) });
  tracer.mark("listening");
  log("info", `listening on ${server.host}:${server.port}, feature ${feature}`);

  const signal = await ended.promise;
  log("info", `ending on ${signal}`);
  await server.close();
  for (const component of [agent, hub]) component.close();
  process.exit(0);
}

function fail(error: unknown): never {
  process.stderr.write(`api-server-rest: ${messageWithCauses(error)}\n`);
  process.exit(1);
}

main().catch(fail);
