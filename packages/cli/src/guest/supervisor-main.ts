import { openSync, readFileSync } from "node:fs";

import { HybridVsock } from "@nacre/vsock";

import { describeError, NacreError } from "../error.ts";
import { createCgroups, joinCgroups } from "./cgroups.ts";
import { removeGuest } from "./cleanup.ts";
import { hostTracer } from "./host-tracer.ts";
import { identityOf } from "./identity.ts";
import { launchGuest, type LaunchedGuest } from "./launch.ts";
import { AGENT_PORT, guestLayout, portSocket } from "./layout.ts";
import { connectGuest } from "./network.ts";
import { readPlan } from "./plan.ts";
import { sendSignal } from "./process-end.ts";
import { type GuestState, readState, writeState } from "./state.ts";
import { waitForSocket } from "./wait-socket.ts";

/** Time that a guest gets to power off by itself, in milliseconds; containers in it may be in the middle of something. */
const POWER_OFF_MS = 10_000;
/** Lines of the log that go into the message when a guest does not start. */
const LAST_LINES = 10;

const [root = "", id = ""] = process.argv.slice(2);
const layout = guestLayout(root, id);
/** Aborts while the guest starts or runs: somebody asked for its end, or whoever started it is gone too early. */
const stop = new AbortController();

/** One process for one guest: starts it, keeps its multiplexer and its log, and clears up when it ends. */
async function supervise(): Promise<void> {
  const recorded = readState(layout);
  if (recorded === undefined) throw new NacreError("internal", `guest ${id}: expected a state file`);
  let state: GuestState = recorded;
  const record = (change: Partial<GuestState>): void => {
    state = { ...state, ...change };
    writeState(layout, state);
  };
  record({ supervisor: identityOf(process.pid) });
  const plan = readPlan(layout.plan);
  const log = openSync(state.log, "a", 0o600);
  const tracer = hostTracer("supervisor", layout, log);

  await createCgroups(layout.cgroup, {
    ...(plan.memoryBytes === undefined ? {} : { memoryBytes: plan.memoryBytes }),
    ...(plan.cpus === undefined ? {} : { cpus: plan.cpus }),
  });
  const multiplexer = await HybridVsock.listen(layout.hybridSocket, (port) => `unix://${portSocket(layout, port)}`);
  await tracer.step("prepare", undefined);
  const guest = await tracer.step("namespaces", launchGuest(root, layout, log));
  record({ launcher: guest.launcher, init: guest.init });
  await joinCgroups(layout.cgroup, guest.init.pid);
  await tracer.step("network", connectGuest(layout.interface, guest.init.pid, state.network));
  guest.go();
  await tracer.step("guest", agentReady(guest, plan.startTimeoutMs));
  record({ ready: true });
  await tell({ ready: true });

  await Promise.race([guest.ended, stopped()]);
  await powerOff(guest);
  await multiplexer.close();
}

async function agentReady(guest: LaunchedGuest, timeoutMs: number): Promise<void> {
  const limit = AbortSignal.any([stop.signal, AbortSignal.timeout(timeoutMs)]);
  const died = guest.ended.then((how) => {
    throw new NacreError("guest", `the guest ended with ${how} before its agent listened`);
  });
  died.catch(() => {});
  await Promise.race([waitForSocket(portSocket(layout, AGENT_PORT), limit), died]);
}

/** Asks, and after a while insists. */
async function powerOff(guest: LaunchedGuest): Promise<void> {
  if (!sendSignal(guest.init, "SIGTERM")) return;
  const timer = setTimeout(() => sendSignal(guest.init, "SIGKILL"), POWER_OFF_MS);
  await guest.ended;
  clearTimeout(timer);
}

function stopped(): Promise<void> {
  return new Promise((resolve) => {
    if (stop.signal.aborted) resolve();
    else stop.signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** To the starter, if it is still there; resolves when it has the message. */
async function tell(message: { ready: true } | { failed: string }): Promise<void> {
  if (!process.connected) return;
  process.off("disconnect", abandoned);
  await new Promise<void>((resolve) => {
    process.send?.(message, undefined, {}, () => resolve());
  });
  if (process.connected) process.disconnect();
}

/** The end of the guest's log: it goes with the guest, and the cause is there. */
function lastLines(): string {
  try {
    return readFileSync(readState(layout)?.log ?? "", "utf8")
      .trimEnd()
      .split("\n")
      .slice(-LAST_LINES)
      .join("\n");
  } catch {
    return "";
  }
}

function abandoned(): void {
  stop.abort(new NacreError("guest", "whoever started the guest is gone"));
}

process.on("disconnect", abandoned);
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.on(signal, () => stop.abort(new NacreError("guest", "the guest was stopped")));
}
// A closed terminal is no reason to end a guest.
process.on("SIGHUP", () => {});

let status = 0;
try {
  await supervise();
} catch (error) {
  status = 1;
  await tell({ failed: `${describeError(error)}\n${lastLines()}`.trimEnd() });
  process.stderr.write(`nacre guest ${id}: ${describeError(error)}\n`);
}
await removeGuest(layout);
process.exit(status);
