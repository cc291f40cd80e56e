import { existsSync, readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";

import { linuxSyscalls, mayUseUnboundInitdata, Reaper, withoutMiddleCompiler } from "@nacre/kata-sys-util";
import { AgentService, Health, parseKernelCommandLine, Tracer, traceWanted } from "@nacre/protocols";
import { TtrpcServer } from "@nacre/ttrpc";
import { listen } from "@nacre/vsock";
import { offerInspector } from "@nacre/vsock/inspector-port";

import { assemble } from "./assemble.ts";
import { loadConfig } from "./config.ts";
import { debugConsole, shellIfAsked } from "./debug-console/index.ts";
import { describeError } from "./error.ts";
import { checkServerAddress, FLAVOUR, takesPeer } from "./flavour.ts";
import { requireBinding } from "./initdata/binding.ts";
import { systemBlockDevices } from "./initdata/block-devices.ts";
import { loadInitdata } from "./initdata/guest-initdata.ts";
import { COCO_EXTENSION, loadComponentsManifest } from "./launch/components-manifest.ts";
import { launchPlan } from "./launch/plan.ts";
import { systemLaunchPorts } from "./launch/ports.ts";
import { Supervisor } from "./launch/supervise.ts";
import { notifyReady } from "./notify-ready.ts";
import { type OpenLog, openLog } from "./open-log.ts";
import { parseOptions } from "./options.ts";
import { loadPolicy } from "./policy.ts";
import { readBounded } from "./read-bounded.ts";
import { agentHandlers, healthHandlers, traced } from "./service/index.ts";
import { AGENT_VERSION, API_VERSION } from "./version.ts";

/** Time for calls in flight when the sandbox is gone, in milliseconds; nothing that matters is left by then. */
const CLOSE_GRACE_MS = 1000;

/** Time for the log to go out before the last words, in milliseconds: its reader may have stopped reading. */
const LAST_LINES_MS = 1000;

let output: OpenLog | undefined;

/** Start-up, in the order of section 2.2; any failure ends the agent before its port opens. */
async function main(): Promise<void> {
  const args = process.argv.slice(2);
  shellIfAsked(args);
  const options = parseOptions(args);
  if (options.version) {
    process.stdout.write(`kata-agent version ${AGENT_VERSION} (api version: ${API_VERSION}, flavour: ${FLAVOUR})\n`);
    return;
  }
  withoutMiddleCompiler();
  const kernel = parseKernelCommandLine(readFileSync("/proc/cmdline", "utf8"));
  await offerInspector("kata-agent", kernel);
  const { config, unknownKeys } = loadConfig({
    file: options.config,
    kernelParameters: kernel.parameters,
    env: process.env,
    trustEnvironment: process.pid !== 1,
    readFile: (path) => readFileSync(path, "utf8"),
  });
  checkServerAddress(config.serverAddr);
  output = await openLog(config);
  const { log } = output;
  const write = (text: string): void => log.info(text);
  const tracer = new Tracer({ subject: "kata-agent", now: () => process.hrtime.bigint(), write });
  tracer.decide(traceWanted(kernel));
  // Not otherwise: `performance` costs memory.
  if (tracer.on) tracer.started(performance.nodeTiming.duration, performance.nodeTiming.bootstrapComplete);
  log.info("announce", { flavour: FLAVOUR, server_addr: config.serverAddr });
  if (unknownKeys.length > 0) log.warning("unknown keys in the configuration file", { keys: unknownKeys });

  const syscalls = linuxSyscalls();
  const reaper = new Reaper({ sys: syscalls });
  reaper.start();
  // Early: whoever opens it wants to see why the rest does not start.
  if (config.debugConsole) await debugConsole({ config, syscalls, log: log.child("debug-console") });

  const initdata = await loadInitdata(systemBlockDevices(FLAVOUR), log.child("initdata"));
  const plan = launchPlan({
    config,
    exists: existsSync,
    initdata,
    manifest: loadComponentsManifest(COCO_EXTENSION, existsSync, readBounded),
    // Init's word for the GPU that it set up; a first process has its environment from the host.
    attesterVariant: (process.pid === 1 ? undefined : process.env["KATA_ATTESTER_VARIANT"]) ?? "",
  });
  requireBinding(initdata, plan, mayUseUnboundInitdata(), log.child("initdata"));

  // The policy compiles while the components start; neither needs the other, and the port opens after both. Compiling
  // keeps this thread from anything else, so the processes come first.
  const supervisor = new Supervisor(systemLaunchPorts(log.child("launch"), tracer));
  const running = Promise.withResolvers<void>();
  const launching = supervisor.launch(plan, running.resolve);
  await Promise.race([running.promise, launching]);
  const loading = tracer.span("policy", "", () => loadPolicy(config.policyFile, log, initdata?.policy));
  const [policy] = await Promise.all([loading, launching]);

  const ended = Promise.withResolvers<void>();
  // Whoever started the agent may end it, too: components and the socket must not stay behind.
  process.once("SIGTERM", () => ended.resolve());
  const components = (): Supervisor["states"] => supervisor.states;
  const parts = assemble({ config, policy, syscalls, reaper, log, tracer, components, shutdown: ended.resolve });
  const server = new TtrpcServer({
    onError: (error, method) => log.error("handler failed", { method, error: describeError(error) }),
  })
    .addService(AgentService, traced(tracer, agentHandlers(parts)))
    .addService(Health, traced(tracer, healthHandlers()));
  const listener = await listen(config.serverAddr, (transport) => server.serve(transport), { vsockPeers: takesPeer });
  tracer.mark("listening");
  log.info("ttRPC server started", { address: listener.address });
  notifyReady(syscalls, log);

  try {
    await Promise.race([ended.promise, supervisor.givenUp]);
  } finally {
    await listener.close();
    await server.close({ graceMs: CLOSE_GRACE_MS });
    await supervisor.stop();
    reaper.stop();
  }
  log.info("the agent ends");
  await output.flush();
}

main().then(
  () => process.exit(0),
  async (error: unknown) => {
    // What the log has said before comes first, so that the last line is the cause.
    await Promise.race([output?.flush(), setTimeout(LAST_LINES_MS)]);
    // The log may not be there yet, and nobody reads on after this.
    process.stderr.write(`kata-agent: ${describeError(error)}\n`);
    process.exit(1);
  },
);
