import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";

import { NacreError } from "../error.ts";
import { removeGuest } from "./cleanup.ts";
import { entryCommand } from "./entry.ts";
import { type Guest, guestFrom } from "./guest.ts";
import { identityOf } from "./identity.ts";
import { type GuestLayout, guestLayout, guestsFolder, newGuestId, stateRoot } from "./layout.ts";
import { chooseNetwork } from "./network.ts";
import { checkOptions, type StartGuestOptions } from "./options.ts";
import type { GuestPlan } from "./plan.ts";
import { qemuPlan } from "./qemu/qemu-plan.ts";
import { simulatedPlan } from "./simulated-plan.ts";
import { createState, readState } from "./state.ts";
import type { SupervisorMessage } from "./supervised-guest.ts";

/**
 * Starts a guest; resolves when its agent takes connections. The guest goes on when this process ends. Rejects with
 * {@link NacreError}, and nothing of the guest is left then.
 */
export async function startGuest(options: StartGuestOptions = {}): Promise<Guest> {
  checkOptions(options);
  if (process.getuid?.() !== 0) throw new NacreError("environment", "a guest needs root");
  const root = options.stateRoot ?? stateRoot();
  const layout = guestLayout(root, options.id ?? newGuestId());
  const kind = options.kind ?? "simulated";
  const network = options.network ?? chooseNetwork();
  createState(
    layout,
    {
      id: layout.id,
      kind,
      created: new Date().toISOString(),
      network,
      starter: identityOf(process.pid),
      supervisor: undefined,
      launcher: undefined,
      init: undefined,
      helpers: [],
      ready: false,
      networkRefusal: undefined,
      log: options.logFile === undefined ? layout.log : resolve(options.logFile),
    },
    guestsFolder(root),
  );
  try {
    mkdirSync(layout.vsock, { mode: 0o755 });
    mkdirSync(layout.files, { mode: 0o700 });
    mkdirSync(layout.containers, { mode: 0o700 });
    const plan: GuestPlan =
      kind === "qemu" ? await qemuPlan(layout, network, options) : await simulatedPlan(layout, network, options);
    writeFileSync(layout.plan, JSON.stringify(plan), { mode: 0o600 });
    await runSupervisor(root, layout, options);
  } catch (error) {
    await removeGuest(layout);
    throw error;
  }
  const state = readState(layout);
  if (state === undefined) throw new NacreError("guest", "the guest ended as soon as it had started");
  return guestFrom(layout, state);
}

/** Starts the supervisor in a session of its own and waits for its word. */
async function runSupervisor(root: string, layout: GuestLayout, options: StartGuestOptions): Promise<void> {
  const { signal, onDebugUrl, onNote } = options;
  if (signal?.aborted === true) throw new NacreError("guest", "the start was given up", { cause: signal.reason });
  const [file, ...args] = [...entryCommand("supervisor-main"), resolve(root), layout.id];
  const log = openSync(layout.log, "a", 0o600);
  const child = spawn(file, args, {
    detached: true,
    stdio: ["ignore", log, log, "ipc"],
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    cwd: "/",
  });
  closeSync(log);
  const abort = (): void => void child.kill("SIGTERM");
  signal?.addEventListener("abort", abort, { once: true });
  try {
    await new Promise<void>((done, failed) => {
      child.on("message", (message: SupervisorMessage) => {
        if ("debugUrl" in message) onDebugUrl?.(message.debugUrl);
        else if ("note" in message) onNote?.(message.note);
        else if ("ready" in message) done();
        else child.once("exit", () => failed(new NacreError("guest", `the guest did not start: ${message.failed}`)));
      });
      child.once("error", (cause) => failed(new NacreError("environment", "start the supervisor", { cause })));
      child.once("exit", (code, name) => {
        // A message that is still under way comes first.
        setImmediate(() => failed(new NacreError("guest", `the guest's supervisor ended with ${name ?? code}`)));
      });
    });
  } finally {
    signal?.removeEventListener("abort", abort);
  }
  child.removeAllListeners();
  child.unref();
  child.channel?.unref();
}
