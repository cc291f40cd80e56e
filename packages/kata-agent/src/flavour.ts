import { Vsock } from "@nacre/kata-sys-util";
import { parseAddress } from "@nacre/vsock";

import { invalidArgument } from "./error.ts";

/** What a build of the agent may do. */
export type Flavour = "devkit" | "kata" | "strict";

declare const NACRE_FLAVOUR: Flavour | undefined;

/**
 * The flavour of this build. Flavours are built, not switched: the bundler replaces `NACRE_FLAVOUR` by a literal, so
 * that code which a flavour must not have falls away. Run from source, it is the developer's flavour.
 */
export const FLAVOUR: Flavour = typeof NACRE_FLAVOUR === "undefined" ? "devkit" : NACRE_FLAVOUR;

/** Schemes on which a flavour listens. Containers share the guest's network, so TCP would open the agent to them. */
const SCHEMES: Readonly<Record<Flavour, readonly string[]>> = {
  devkit: ["vsock", "unix", "tcp"],
  kata: ["vsock", "unix"],
  strict: ["vsock", "unix"],
};

/**
 * Whose vsock connections a flavour takes. Containers are inside, where only a loopback leads to the agent; the host has
 * an id of its own. A developer's machine may be its own host.
 */
export function takesPeer(cid: number, flavour: Flavour = FLAVOUR): boolean {
  return flavour === "devkit" || cid === Vsock.CID_HOST;
}

/** Throws INVALID_ARGUMENT when this flavour must not listen there. */
export function checkServerAddress(address: string, flavour: Flavour = FLAVOUR): void {
  const { scheme } = parseAddress(address);
  if (!SCHEMES[flavour].includes(scheme)) {
    throw invalidArgument(
      `server address: the ${flavour} flavour listens on ${SCHEMES[flavour].join(", ")}, got ${scheme}`,
    );
  }
}

/** Whether a flavour starts images that the policy in force says nothing about: its text knows no PulledImageRequest. */
export function startsUnpinned(flavour: Flavour = FLAVOUR): boolean {
  return flavour !== "strict";
}

/** What of a policy's inside a refusal may tell. The host reads the replies, and the guest's log, too. */
export interface Disclosure {
  /** Prints and the texts of errors: to the host, as upstream does. */
  readonly texts: boolean;
  /** The condition that failed and what it was about: to the log. */
  readonly explanations: boolean;
}

const DISCLOSURES: Readonly<Record<Flavour, Disclosure>> = {
  devkit: { texts: true, explanations: true },
  kata: { texts: true, explanations: false },
  strict: { texts: false, explanations: false },
};

export function disclosure(flavour: Flavour = FLAVOUR): Disclosure {
  return DISCLOSURES[flavour];
}
