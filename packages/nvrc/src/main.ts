import { fileURLToPath } from "node:url";

import { linuxSyscalls, Reaper, recordingEffects } from "@nacre/kata-sys-util";

import { type AgentEnd, startAgent } from "./agent.ts";
import { mountCgroups } from "./cgroups.ts";
import { makeDevices } from "./devices.ts";
import { setHostname } from "./hostname.ts";
import { stderrLog as log } from "./log.ts";
import { loopbackUp } from "./loopback.ts";
import { mountAll } from "./mounts.ts";
import { failClosed, INIT_PID, type PowerOff, powerOffBy } from "./power-off.ts";
import { versionLine } from "./version.ts";

/** What a namespace does not hold is told, not done: this guest shares the kernel of the machine it runs on. */
const effects = recordingEffects(({ name, args }) => log(`effect ${name} ${JSON.stringify(args)}`));

/** The boot, in its order. */
async function boot(powerOff: PowerOff): Promise<void> {
  // A request to end may come at any time, and the kernel drops signals that its first process does not handle.
  const asked = Promise.withResolvers<void>();
  process.on("SIGTERM", () => asked.resolve());

  const sys = linuxSyscalls();
  await mountAll(sys);
  makeDevices(sys);
  await mountCgroups(sys);
  setHostname(sys);
  loopbackUp(sys);
  // Before the first child, so that no orphan is missed.
  new Reaper({ sys, subreaper: false }).start();

  const agent = await startAgent();
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

if (process.pid === INIT_PID) {
  const powerOff = powerOffBy(effects);
  // First: from here on whatever goes wrong ends the guest.
  const fail = failClosed(log, powerOff);
  boot(powerOff).catch(fail);
} else {
  // Not for a machine that runs already: nothing is mounted, nobody is signalled.
  process.stdout.write(`${versionLine(fileURLToPath(import.meta.url))}\n`);
}
