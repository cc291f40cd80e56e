import { existsSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { NacreError } from "../error.ts";
import { REPOSITORY } from "../repository.ts";
import { HUB_CONFIG_PATH, hubConfigOf } from "./hub-config.ts";
import { hubConfigIn, writeInitdata } from "./initdata.ts";
import { AGENT_PORT, type GuestLayout } from "./layout.ts";
import { commandLine, type ExtraFile, type StartGuestOptions } from "./options.ts";
import type { SimulatedPlan } from "./plan.ts";
import type { GuestNetwork } from "./state.ts";

const DEFAULT_TREE: string = join(REPOSITORY, "build/guest-rootfs/tree");
const DEFAULT_START_TIMEOUT_MS = 60_000;
const POLICY_PATH = "/etc/kata-opa/default-policy.rego";

/** What a simulated guest is put together from; its files are written into the guest's folder. */
export async function simulatedPlan(
  layout: GuestLayout,
  network: GuestNetwork,
  options: StartGuestOptions,
): Promise<SimulatedPlan> {
  if (options.initdata !== undefined) await writeInitdata(layout.initdata, options.initdata);
  const parameters = [`agent.server_addr=unix:///run/vsock/${AGENT_PORT}.sock`, ...(options.kernelParameters ?? [])];
  writeFileSync(layout.commandLine, `${commandLine(parameters)}\n`, { mode: 0o444 });
  const files = ownFiles(network, options).map(({ path, source, content, mode }, index) => {
    const from = source === undefined ? `${layout.files}/${index}` : resolve(source);
    if (content !== undefined) writeFileSync(from, content, { mode: 0o600 });
    else if (statSync(from, { throwIfNoEntry: false })?.isFile() !== true) {
      throw new NacreError("input", `extra file ${path}: expected a file ${from}`);
    }
    return { path, from, mode: mode ?? 0o644 };
  });
  return {
    kind: "simulated",
    tree: existingTree(options.tree ?? DEFAULT_TREE),
    daemons: options.daemons === undefined ? undefined : resolve(options.daemons),
    memoryBytes: options.memoryBytes,
    cpus: options.cpus,
    files,
    initdata: options.initdata === undefined ? undefined : layout.initdata,
    startTimeoutMs: options.startTimeoutMs ?? DEFAULT_START_TIMEOUT_MS,
    debugUrl: options.debugUrl,
  };
}

function ownFiles(network: GuestNetwork, options: StartGuestOptions): readonly ExtraFile[] {
  const { initdata } = options;
  // The same as in initdata, for those who look up where the guest pulls from; inside, initdata's comes first.
  const told = initdata === undefined ? undefined : hubConfigIn(initdata);
  return [
    { path: HUB_CONFIG_PATH, content: told ?? hubConfigOf(network, options) },
    ...(options.policy === undefined ? [] : [{ path: POLICY_PATH, content: options.policy }]),
    ...(options.files ?? []),
  ];
}

function existingTree(tree: string): string {
  if (!existsSync(`${tree}/usr/bin/node`)) {
    throw new NacreError("environment", `the guest's root directory ${tree} is missing: run \`make tree\``);
  }
  return tree;
}
