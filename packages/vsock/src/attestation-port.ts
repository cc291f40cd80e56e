import type { KernelCommandLine } from "@nacre/protocols";

import { siblingAddress } from "./sibling-address.ts";

declare const NACRE_FLAVOUR: string | undefined;

/** The port of a devkit guest's attestation agent, for the machine that it runs on; behind the agent's and its console's. */
export const ATTESTATION_PORT = 1027;

const DEFAULT_SERVER_ADDRESS = "vsock://-1:1024";

/**
 * Devkit flavour: where the attestation agent listens for the host, beside the agent's own port. Undefined elsewhere, where
 * nobody but the guest's own processes reaches it, and for who runs from source.
 */
export function attestationPortAddress(kernel: Pick<KernelCommandLine, "last">): string | undefined {
  if (typeof NACRE_FLAVOUR === "undefined" || NACRE_FLAVOUR !== "devkit") return undefined;
  return siblingAddress(kernel.last("agent.server_addr") ?? DEFAULT_SERVER_ADDRESS, ATTESTATION_PORT);
}
