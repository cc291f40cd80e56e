/** What a build of the hub may do. */
export type Flavour = "devkit" | "kata" | "strict";

declare const NACRE_FLAVOUR: Flavour | undefined;

/**
 * The flavour of this build: the bundler replaces the name by a literal, so that what a flavour must not have falls away.
 * Run from source it is the developer's.
 */
export const FLAVOUR: Flavour = typeof NACRE_FLAVOUR === "undefined" ? "devkit" : NACRE_FLAVOUR;
