import { internalError } from "../error.ts";
import type { Flavour } from "../flavour.ts";
import type { LaunchPlan } from "../launch/plan.ts";
import type { Logger } from "../log.ts";
import type { GuestInitdata } from "./guest-initdata.ts";

/** The component that compares the document's digest with what the platform measured, and ends where they differ. */
const BINDER = "attestation-agent";

/**
 * Initdata is the host's word until the attestation agent has bound it to the guest's evidence. Where none will be
 * started, only the devkit flavour goes on (design decision 2). Throws INTERNAL.
 */
export function requireBinding(
  initdata: GuestInitdata | undefined,
  plan: LaunchPlan,
  flavour: Flavour,
  log: Logger,
): void {
  if (initdata === undefined || plan.start.some(({ id }) => id === BINDER)) return;
  const what = `initdata on ${initdata.device}: no attestation agent binds it`;
  if (flavour !== "devkit") throw internalError(`${what}, and the ${flavour} flavour does not go on without`);
  log.warning(`UNBOUND ${what}: policy and configuration are the host's word`, { digest: initdata.digest });
}
