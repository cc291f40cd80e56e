import { internalError } from "../error.ts";
import { ATTESTATION_AGENT, type LaunchPlan } from "../launch/plan.ts";
import type { Logger } from "../log.ts";
import type { GuestInitdata } from "./guest-initdata.ts";

/**
 * Initdata is the host's word until the attestation agent has bound it to the guest's evidence: it compares the digest
 * with what the platform measured, and ends, and the launch with it, where they differ or where the platform has no place
 * for it. Where none will be started, only a simulated guest goes on (design decision 2). Throws INTERNAL.
 */
export function requireBinding(
  initdata: GuestInitdata | undefined,
  plan: LaunchPlan,
  mayBeUnbound: boolean,
  log: Logger,
): void {
  if (initdata === undefined || plan.start.some(({ id }) => id === ATTESTATION_AGENT)) return;
  const what = `initdata on ${initdata.device}: no attestation agent binds it`;
  if (!mayBeUnbound) throw internalError(`${what}, and only a simulated guest goes on without`);
  log.warning(`UNBOUND ${what}: policy and configuration are the host's word`, { digest: initdata.digest });
}
