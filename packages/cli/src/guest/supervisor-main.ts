import { openSync, writeSync } from "node:fs";

import { describeError, NacreError } from "../error.ts";
import { debugServerOf } from "../inspect/inspected.ts";
import { removeGuest } from "./cleanup.ts";
import { HOST_PREFIX, hostTracer } from "./host-tracer.ts";
import { identityOf } from "./identity.ts";
import { lastWords } from "./last-words.ts";
import { guestLayout } from "./layout.ts";
import { readPlan } from "./plan.ts";
import { killProcess } from "./process-end.ts";
import { startQemu } from "./qemu/start-qemu.ts";
import { startSimulated } from "./simulated.ts";
import { type GuestState, readState, writeState } from "./state.ts";
import type { SupervisedGuest, Supervision, SupervisorMessage } from "./supervised-guest.ts";

/** Time that a guest gets to power off by itself, in milliseconds; containers in it may be in the middle of something. */
const POWER_OFF_MS = 10_000;

const [root = "", id = ""] = process.argv.slice(2);
const layout = guestLayout(root, id);
/** Aborts while the guest starts or runs: somebody asked for its end, or whoever started it is gone too early. */
const stop = new AbortController();

/** One process for one guest: starts it, keeps its sockets and its log, and clears up when it ends. */
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
  const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(plan.startTimeoutMs)]);
  const logFd = openSync(state.log, "a", 0o600);
  const tracer = hostTracer("supervisor", layout, logFd);
  const say = (note: string): void => {
    writeSync(logFd, `${HOST_PREFIX}${note}\n`);
    void send({ note });
  };
  const supervision: Supervision = { root, layout, state, logFd, tracer, signal, record, say };

  const debug = await debugServerOf(layout, plan);
  if (debug !== undefined) {
    record({ debugUrl: debug.url });
    // A daemon may wait for the debugger before the guest can be ready.
    await send({ debugUrl: debug.url });
  }
  const guest = await (plan.kind === "qemu" ? startQemu(supervision, plan) : startSimulated(supervision, plan));
  record({ ready: true });
  await tell({ ready: true });

  await Promise.race([guest.ended, stopped()]);
  await powerOff(guest, () => state);
  await guest.close();
  await debug?.close();
}

/** Asks, and after a while insists. */
async function powerOff(guest: SupervisedGuest, state: () => GuestState): Promise<void> {
  const timer = setTimeout(() => void killProcess(state().init), POWER_OFF_MS);
  await Promise.race([guest.ended, guest.askToPowerOff()]);
  await guest.ended;
  clearTimeout(timer);
}

function stopped(): Promise<void> {
  return new Promise((resolve) => {
    if (stop.signal.aborted) resolve();
    else stop.signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** The last word to the starter, if it is still there; resolves when it has the message. */
async function tell(message: { ready: true } | { failed: string }): Promise<void> {
  if (!process.connected) return;
  process.off("disconnect", abandoned);
  await send(message);
  if (process.connected) process.disconnect();
}

async function send(message: SupervisorMessage): Promise<void> {
  if (!process.connected) return;
  await new Promise<void>((resolve) => {
    process.send?.(message, undefined, {}, () => resolve());
  });
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
  await tell({ failed: `${describeError(error)}\n${lastWords(readState(layout)?.log ?? "")}`.trimEnd() });
  process.stderr.write(`nacre guest ${id}: ${describeError(error)}\n`);
}
await removeGuest(layout);
process.exit(status);
