import { TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";

import { NacreError } from "../error.ts";
import type { Guest } from "../guest/guest.ts";

const SOCKET = "/run/confidential-containers/attestation-agent/attestation-agent.sock";

/**
 * Where a guest's attestation agent listens, as this machine reaches it. Throws `usage` for a virtual machine, with what
 * can be done `instead`.
 */
export function agentOfGuest(guest: Guest, instead: string): string {
  if (guest.kind === "simulated") return `unix:///proc/${guest.initPid}/root${SOCKET}`;
  throw new NacreError(
    "usage",
    `guest ${guest.id} is a virtual machine: its attestation agent is not reached from here; ${instead}`,
  );
}

/** A connection to an attestation agent; who asked for it closes it. Rejects with NacreError `agent`. */
export async function dialAgent(address: string, timeoutMs: number, signal: AbortSignal): Promise<TtrpcClient> {
  try {
    return new TtrpcClient(await dial(address, { timeoutMs, signal }));
  } catch (cause) {
    throw new NacreError("agent", `the attestation agent at ${address} cannot be reached`, { cause });
  }
}
