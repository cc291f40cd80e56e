import { readFileSync } from "node:fs";
import { join } from "node:path";

import { parseKernelCommandLine } from "@nacre/protocols";
import { INSPECT_PARAMETER, INSPECT_WAIT_PARAMETER, INSPECTOR_PORT } from "@nacre/vsock/inspector-port";

import { NacreError } from "../error.ts";
import type { GuestLayout } from "../guest/layout.ts";
import type { GuestPlan } from "../guest/plan.ts";
import type { GuestKind } from "../guest/state.ts";
import { REPOSITORY } from "../repository.ts";
import type { DebugServer } from "./debug-server.ts";

const SOURCE_MAPS: string = join(REPOSITORY, "build/source-maps");

/** Daemons whose debugger can be opened: those that are bundles of ours. */
export const DAEMONS: readonly string[] = ["nvrc", "kata-agent", "attestation-agent", "confidential-data-hub"];

/** Bundles that have another name in the guest. */
const BUNDLE_NAMES: Readonly<Record<GuestKind, Readonly<Record<string, string>>>> = {
  simulated: { "nvrc.mjs": "nvrc-simulated.mjs" },
  qemu: {},
};

/** A day: whoever steps through a start is in no hurry. */
const PATIENT_S: number = 24 * 60 * 60;

/** Kernel parameters and limits for a guest whose daemon is debugged. Throws NacreError `usage`. */
export function inspectOptions(
  daemon: string,
  wait: boolean,
): { readonly kernelParameters: readonly string[]; readonly startTimeoutMs: number } {
  if (!DAEMONS.includes(daemon)) {
    throw new NacreError("usage", `--inspect: expected one of ${DAEMONS.join(", ")}, got ${JSON.stringify(daemon)}`);
  }
  const parameters = [`${INSPECT_PARAMETER}=${daemon}`, `agent.launch_process_timeout=${PATIENT_S}`];
  return {
    kernelParameters: wait ? [...parameters, INSPECT_WAIT_PARAMETER] : parameters,
    startTimeoutMs: PATIENT_S * 1000,
  };
}

/** Opens the debugger's address on the host for a guest whose command line names a daemon; undefined for any other. */
export async function debugServerOf(
  layout: GuestLayout,
  { kind, debugUrl }: Pick<GuestPlan, "kind" | "debugUrl">,
): Promise<DebugServer | undefined> {
  const daemon = parseKernelCommandLine(readFileSync(layout.commandLine, "utf8")).last(INSPECT_PARAMETER);
  if (daemon === undefined || !DAEMONS.includes(daemon)) return undefined;
  const guestAddress = `hvsock://${layout.hybridSocket}:${INSPECTOR_PORT}`;
  const options = { daemon, guestAddress, sourceMaps: SOURCE_MAPS, bundleNames: BUNDLE_NAMES[kind] };
  // Guests are seldom debugged.
  const { DebugServer } = await import("./debug-server.ts");
  return await DebugServer.listen(options, debugUrl);
}
