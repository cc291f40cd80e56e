import { readFileSync } from "node:fs";

import { Reaper, withoutMiddleCompiler } from "@nacre/kata-sys-util";
import { parseKernelCommandLine, Tracer, traceWanted } from "@nacre/protocols";
import { offerBridge } from "@nacre/vsock/bridge-port";
import { offerInspector, patientDeadline } from "@nacre/vsock/inspector-port";

import { mountCgroups } from "./cgroups.ts";
import { Daemons } from "./daemons.ts";
import { makeDevices } from "./devices.ts";
import { mountExtensions } from "./extensions/index.ts";
import { useGpuExtension } from "./gpu/extension.ts";
import { ATTESTER_ENVIRONMENT, setUpMode } from "./gpu/index.ts";
import { modeOf } from "./gpu/mode.ts";
import { readTopology } from "./gpu/topology.ts";
import { catchEverything, GuestEnd, INIT_PID } from "./guest-end.ts";
import { setHostname } from "./hostname.ts";
import { raiseLimits } from "./limits.ts";
import { loopbackUp } from "./loopback.ts";
import { loadModules, lockModules } from "./modules.ts";
import { mountAll, mountOptional } from "./mounts.ts";
import { readOptions } from "./options.ts";
import type { Ports } from "./ports.ts";
import { catchCtrlAltDel, PowerRequests } from "./power-request.ts";
import { superviseAgent, SUPERVISION } from "./supervise.ts";
import { setSysctls } from "./sysctls.ts";
import { Syslog } from "./syslog.ts";
import { versionLine } from "./version.ts";

/** The boot, in its order (section 1.1). */
async function boot(ports: Ports, end: GuestEnd, file: string): Promise<void> {
  const { sys, effects, log } = ports;
  const requests = new PowerRequests(() => void end.powerOff(0));
  const tracer = new Tracer({ subject: "nvrc", now: () => process.hrtime.bigint(), write: (text) => log.event(text) });
  await tracer.step("mounts", mountAll(sys, ports.mounts));
  const options = readOptions(log);
  const kernel = parseKernelCommandLine(readFileSync("/proc/cmdline", "latin1"));
  tracer.decide(traceWanted(kernel));
  // Not otherwise: `performance` costs memory.
  if (tracer.on) tracer.started(performance.nodeTiming.duration, performance.nodeTiming.bootstrapComplete);
  // File systems may be modules, and what they are mounted on comes with them.
  await tracer.step("modules", loadModules(effects, log));
  // Their ports need a module.
  await offerBridge(kernel);
  await offerInspector("nvrc", kernel);
  await tracer.step("optional-mounts", mountOptional(sys, ports.optionalMounts));
  await tracer.step("devices", makeDevices(sys));
  await tracer.step("cgroups", mountCgroups(sys));
  await catchCtrlAltDel(effects);
  setHostname(sys);
  await tracer.step("loopback", loopbackUp(sys));
  await tracer.step("sysctls", setSysctls(effects, options.log !== undefined));
  const syslog = await tracer.step("syslog", Syslog.listen(sys, log));
  // Not otherwise: hashing brings a library along that is of no other use before the agent runs.
  if (log.tells("info")) log.info(versionLine(file));

  const daemons = new Daemons({ log, output: () => (log.tells("debug") ? ports.output() : "ignore"), fail: end.fail });
  // Before the first child, so that no orphan is missed.
  new Reaper({ sys, subreaper: false, unwatched: daemons.orphanEnded }).start();
  // Before the lock: an extension may carry modules.
  const extensions = await tracer.step("extensions", mountExtensions(ports, readFileSync("/proc/cmdline", "latin1")));
  const extension = extensions.get("gpu");
  await useGpuExtension(sys, ports.run, extension);
  const mode = modeOf(readTopology(ports.sysfs));
  const setUp = setUpMode(mode, {
    ...ports,
    options,
    start: daemons.start,
    waitForSyslog: syslog.waitFor,
    extension,
    root: "",
  });
  await tracer.step("mode", setUp);
  await tracer.step("lock-modules", lockModules(effects));
  raiseLimits(sys);
  const environment = extension === undefined ? {} : ATTESTER_ENVIRONMENT;
  const readyDeadlineMs = patientDeadline(kernel, SUPERVISION.readyDeadlineMs);
  await superviseAgent({ ...ports, tracer }, end, requests, { ...SUPERVISION, readyDeadlineMs, environment });
}

/** Boots as the guest's first process; as any other it only says what it is, by the digest of `file`. */
export function runInit(ports: Ports, file: string): void {
  if (process.pid !== INIT_PID) {
    // Not for a machine that runs already: nothing is mounted, nobody is signalled.
    process.stdout.write(`NVRC ${versionLine(file)}\n`);
    return;
  }
  withoutMiddleCompiler();
  const end = new GuestEnd(ports.log, ports.effects);
  // First: from here on whatever goes wrong ends the guest.
  catchEverything(end);
  boot(ports, end, file).catch(end.fail);
}
