import { readFileSync } from "node:fs";

import { Reaper } from "@nacre/kata-sys-util";
import { parseKernelCommandLine, Tracer, traceWanted } from "@nacre/protocols";

import { type AgentEnd, startAgent } from "./agent.ts";
import { mountCgroups } from "./cgroups.ts";
import { makeDevices } from "./devices.ts";
import { setHostname } from "./hostname.ts";
import { loopbackUp } from "./loopback.ts";
import { mountAll } from "./mounts.ts";
import type { Ports } from "./ports.ts";
import { failClosed, INIT_PID, type PowerOff, powerOffBy } from "./power-off.ts";
import { versionLine } from "./version.ts";

/** The boot, in its order. */
async function boot({ sys, log, mounts }: Ports, powerOff: PowerOff): Promise<void> {
  // A request to end may come at any time, and the kernel drops signals that its first process does not handle.
  const asked = Promise.withResolvers<void>();
  process.on("SIGTERM", () => asked.resolve());

  const tracer = new Tracer({ subject: "nvrc", now: () => process.hrtime.bigint(), write: log });
  tracer.started(performance.now(), performance.nodeTiming.bootstrapComplete);
  await tracer.step("mounts", mountAll(sys, mounts));
  // Only now can it be known.
  tracer.decide(traceWanted(parseKernelCommandLine(readFileSync("/proc/cmdline", "utf8"))));
  await tracer.step("devices", makeDevices(sys));
  await tracer.step("cgroups", mountCgroups(sys));
  await tracer.step("hostname", setHostname(sys));
  await tracer.step("loopback", loopbackUp(sys));
  // Before the first child, so that no orphan is missed.
  new Reaper({ sys, subreaper: false }).start();

  const agent = await tracer.step("agent", startAgent());
  log("kata-agent started");
  void asked.promise.then(() => {
    log("asked to power off");
    agent.terminate();
  });
  const end = await agent.ended;
  log(`kata-agent ended with ${describe(end)}`);
  await powerOff("code" in end && end.code === 0 ? 0 : 1);
}

function describe(end: AgentEnd): string {
  return "code" in end ? `status ${end.code}` : `signal ${end.signal}`;
}

/** Boots as the guest's first process; as any other it only says what it is, by the digest of `file`. */
export function runInit(ports: Ports, file: string): void {
  if (process.pid !== INIT_PID) {
    // Not for a machine that runs already: nothing is mounted, nobody is signalled.
    process.stdout.write(`${versionLine(file)}\n`);
    return;
  }
  const powerOff = powerOffBy(ports.effects);
  // First: from here on whatever goes wrong ends the guest.
  const fail = failClosed(ports.log, powerOff);
  boot(ports, powerOff).catch(fail);
}
