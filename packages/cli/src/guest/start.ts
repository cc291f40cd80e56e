import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, statSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";

import { NacreError } from "../error.ts";
import { removeGuest } from "./cleanup.ts";
import { entryCommand } from "./entry.ts";
import { type Guest, guestFrom } from "./guest.ts";
import { HUB_CONFIG_PATH, hubConfig } from "./hub-config.ts";
import { identityOf } from "./identity.ts";
import { AGENT_PORT, type GuestLayout, guestLayout, guestsFolder, newGuestId, stateRoot } from "./layout.ts";
import { chooseNetwork } from "./network.ts";
import { checkOptions, type ExtraFile, type StartGuestOptions } from "./options.ts";
import type { GuestPlan } from "./plan.ts";
import { createState, type GuestNetwork, readState } from "./state.ts";

/** Of the repository that this package lies in. */
const DEFAULT_TREE: string = resolve(import.meta.dirname, "../../../../build/guest-rootfs/tree");
const DEFAULT_START_TIMEOUT_MS = 60_000;
const POLICY_PATH = "/etc/kata-opa/default-policy.rego";
/** Longest command line that x86 kernels take, in bytes. */
const MAX_COMMAND_LINE = 2048;

/**
 * Starts a simulated guest; resolves when its agent takes connections. The guest goes on when this process ends. Rejects
 * with {@link NacreError}, and nothing of the guest is left then.
 */
export async function startGuest(options: StartGuestOptions = {}): Promise<Guest> {
  checkOptions(options);
  if (process.getuid?.() !== 0) throw new NacreError("environment", "a simulated guest needs root");
  const root = options.stateRoot ?? stateRoot();
  const layout = guestLayout(root, options.id ?? newGuestId());
  const network = chooseNetwork();
  const tree = existingTree(options.tree ?? DEFAULT_TREE);
  createState(
    layout,
    {
      id: layout.id,
      created: new Date().toISOString(),
      network,
      starter: identityOf(process.pid),
      supervisor: undefined,
      launcher: undefined,
      init: undefined,
      ready: false,
      log: options.logFile === undefined ? layout.log : resolve(options.logFile),
    },
    guestsFolder(root),
  );
  try {
    writePlan(layout, tree, network, options);
    await runSupervisor(root, layout, options.signal);
  } catch (error) {
    await removeGuest(layout);
    throw error;
  }
  const state = readState(layout);
  if (state === undefined) throw new NacreError("guest", "the guest ended as soon as it had started");
  return guestFrom(layout, state);
}

function writePlan(layout: GuestLayout, tree: string, network: GuestNetwork, options: StartGuestOptions): void {
  mkdirSync(layout.vsock, { mode: 0o755 });
  mkdirSync(layout.files, { mode: 0o700 });
  mkdirSync(layout.containers, { mode: 0o700 });
  const parameters = [`agent.server_addr=unix:///run/vsock/${AGENT_PORT}.sock`, ...(options.kernelParameters ?? [])];
  const commandLine = `${parameters.join(" ")}\n`;
  if (Buffer.byteLength(commandLine) > MAX_COMMAND_LINE) {
    throw new NacreError("usage", `kernel parameters: expected at most ${MAX_COMMAND_LINE} bytes`);
  }
  writeFileSync(layout.commandLine, commandLine, { mode: 0o444 });
  const files = ownFiles(network, options).map(({ path, source, content, mode }, index) => {
    const from = source === undefined ? `${layout.files}/${index}` : resolve(source);
    if (content !== undefined) writeFileSync(from, content, { mode: 0o600 });
    else if (statSync(from, { throwIfNoEntry: false })?.isFile() !== true) {
      throw new NacreError("input", `extra file ${path}: expected a file ${from}`);
    }
    return { path, from, mode: mode ?? 0o644 };
  });
  const plan: GuestPlan = {
    tree,
    memoryBytes: options.memoryBytes,
    cpus: options.cpus,
    files,
    startTimeoutMs: options.startTimeoutMs ?? DEFAULT_START_TIMEOUT_MS,
  };
  writeFileSync(layout.plan, JSON.stringify(plan), { mode: 0o600 });
}

function ownFiles(network: GuestNetwork, options: StartGuestOptions): readonly ExtraFile[] {
  const rules = typeof options.registries === "function" ? options.registries(network) : options.registries;
  const hub = typeof options.hubConfig === "function" ? options.hubConfig(network) : options.hubConfig;
  return [
    { path: HUB_CONFIG_PATH, content: hub ?? hubConfig(network, rules ?? [], options.extraRoots ?? []) },
    ...(options.policy === undefined ? [] : [{ path: POLICY_PATH, content: options.policy }]),
    ...(options.files ?? []),
  ];
}

/** Starts the supervisor in a session of its own and waits for its word. */
async function runSupervisor(root: string, layout: GuestLayout, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
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
      child.once("message", (message: { ready?: true; failed?: string }) => {
        if (message.ready === true) done();
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

function existingTree(tree: string): string {
  if (!existsSync(`${tree}/usr/bin/node`)) {
    throw new NacreError("environment", `the guest's root directory ${tree} is missing: run \`make tree\``);
  }
  return tree;
}
