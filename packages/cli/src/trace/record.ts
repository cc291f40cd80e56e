import { readFileSync } from "node:fs";

import { Health } from "@nacre/protocols";

import { NacreError } from "../error.ts";
import type { Guest } from "../guest/guest.ts";
import { openPod } from "../select.ts";
import type { TraceSubject } from "./describe.ts";
import { runToFirstOutput } from "./first-output.ts";
import { settleLog } from "./settle.ts";
import { readEvents } from "./timeline.ts";

/** A guest's log, and what it is of. */
export interface TracedLog {
  readonly subject: TraceSubject;
  readonly log: string;
}

/** What is done with a guest while it is traced. */
export interface TracedWork {
  readonly image?: string | undefined;
  /** In place of the image's Cmd. */
  readonly command?: readonly string[] | undefined;
  /** Takes what the container writes. */
  readonly output: (chunk: Uint8Array) => void;
}

/**
 * Asks the agent of a guest that was started with events, runs a container to its first output if there is an image,
 * and resolves with the guest's log. Throws NacreError.
 */
export async function recordTrace(guest: Guest, work: TracedWork, signal: AbortSignal): Promise<TracedLog> {
  // Those of the boot are there by now.
  if (readEvents(guest.log()).events.length === 0) {
    throw new NacreError("guest", `guest ${guest.id} logs no events; it must be started with --trace`);
  }
  using open = await openPod(guest, signal);
  await open.agent.call(Health.methods.Check, {}, { signal });
  if (work.image !== undefined) {
    await runToFirstOutput(open.pod, open.agent, { ...work, image: work.image }, signal);
  }
  await settleLog(open.agent, guest.logFile, signal);
  const { image } = work;
  return {
    subject: { guest: guest.id, kind: guest.kind, created: guest.created, ...(image === undefined ? {} : { image }) },
    log: readFileSync(guest.logFile, "utf8"),
  };
}
