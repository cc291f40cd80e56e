import { TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";
import { ATTESTATION_PORT } from "@nacre/vsock/attestation-port";

import { NacreError } from "../error.ts";
import type { Guest } from "../guest/guest.ts";

/** Where the attestation agent of a devkit guest listens for this machine. */
export function agentOfGuest({ layout }: Pick<Guest, "layout">): string {
  return `hvsock://${layout.hybridSocket}:${ATTESTATION_PORT}`;
}

/** A connection to an attestation agent; who asked for it closes it. Rejects with NacreError `agent`. */
export async function dialAgent(address: string, timeoutMs: number, signal: AbortSignal): Promise<TtrpcClient> {
  try {
    return new TtrpcClient(await dial(address, { timeoutMs, signal }));
  } catch (cause) {
    const only = address.startsWith("hvsock://") ? "; of the flavours, the devkit's alone listens for its machine" : "";
    throw new NacreError("agent", `the attestation agent at ${address} cannot be reached${only}`, { cause });
  }
}
