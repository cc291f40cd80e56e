import { existsSync } from "node:fs";

declare const NACRE_FLAVOUR: string | undefined;

/** A file of the tree that simulated guests run on. No image has it, and in a measured one nobody can put it there. */
export const SIMULATED_GUEST = "/usr/share/nacre/simulated";

/**
 * Whether initdata that nothing binds may be used: in a simulated guest of the devkit flavour, which has no platform to
 * bind it to and proves nothing, and by whoever runs from source. Everywhere else it is the host's word.
 */
export function mayUseUnboundInitdata(marker?: string): boolean {
  if (typeof NACRE_FLAVOUR === "undefined") return true;
  if (NACRE_FLAVOUR === "devkit") return existsSync(marker ?? SIMULATED_GUEST);
  return false;
}
