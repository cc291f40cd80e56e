import { statSync } from "node:fs";

import { Health } from "@nacre/protocols";

import type { Agent } from "../agent.ts";
import { NacreError } from "../error.ts";
import { followFile, linesOf } from "../follow-file.ts";
import { parseLogLine } from "./log-line.ts";

/** A log is written by the guest's own processes, and at once; this bounds a guest that hangs. */
const SETTLE_TIMEOUT_MS = 10_000;

/**
 * Resolves when the log has the events of all calls so far. A daemon writes its log beside its answers, so a last call is
 * made whose event comes after all others. Throws NacreError `guest` when the log does not get it.
 */
export async function settleLog(agent: Agent, logFile: string, signal?: AbortSignal): Promise<void> {
  const from = statSync(logFile).size;
  const limit = AbortSignal.any([AbortSignal.timeout(SETTLE_TIMEOUT_MS), ...(signal === undefined ? [] : [signal])]);
  const lines = linesOf(followFile(logFile, { from, signal: limit }));
  await agent.call(Health.methods.Version, {}, { timeoutMs: SETTLE_TIMEOUT_MS, signal });
  for await (const line of lines) {
    const event = parseLogLine(line)?.event;
    if (event?.name === "kata-agent.call" && event.detail === "Version") return;
  }
  signal?.throwIfAborted();
  throw new NacreError("guest", "trace: expected the event of a call in the guest's log, got none");
}
