import { readFileSync, statSync } from "node:fs";

import { NacreError } from "../error.ts";
import { followFile, linesOf } from "../follow-file.ts";
import { guestProcesses } from "../guest/cgroups.ts";
import type { Guest } from "../guest/guest.ts";
import { identityOf } from "../guest/identity.ts";
import { sendSignal } from "../guest/process-end.ts";

const HUB = "/usr/local/bin/confidential-data-hub";
/** The agent starts its components again by itself, with a short pause and a limit of its own. */
const READY_TIMEOUT_MS = 30_000;

/** Files that the hub alone runs; the agent starts it again when it has ended. */
export const HUB_FILES: readonly string[] = ["confidential-data-hub.mjs", "kms-clients.mjs", "unpack-worker.mjs"];

/** Ends the hub of a simulated guest and resolves when the next one is ready. Throws NacreError `guest`. */
export async function restartHub(guest: Guest, signal: AbortSignal): Promise<void> {
  const from = statSync(guest.logFile).size;
  const limit = AbortSignal.any([signal, AbortSignal.timeout(READY_TIMEOUT_MS)]);
  const lines = linesOf(followFile(guest.logFile, { from, signal: limit }));
  const pids = (await guestProcesses(guest.layout.cgroup)).filter((pid) => argumentsOf(pid).includes(HUB));
  for (const identity of pids.flatMap((pid) => identityOf(pid) ?? [])) sendSignal(identity, "SIGTERM");
  for await (const line of lines) if (isReady(line)) return;
  signal.throwIfAborted();
  throw new NacreError("guest", `guest ${guest.id}: the data hub did not become ready again; see nacre guest logs`);
}

function argumentsOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return [];
  }
}

/** The agent's word for it. */
function isReady(line: string): boolean {
  if (!line.startsWith('{"msg":"guest component is ready"')) return false;
  return (JSON.parse(line) as { component?: unknown }).component === "confidential-data-hub";
}
