import { resolve } from "node:path";

import { BUNDLES, ROOT, SOURCE_MAPS } from "./paths.ts";

/**
 * What an image may do, decided when it is built and never switched: *devkit* for development, *kata* as upstream where
 * that is not unsafe, *strict* with everything closed.
 */
export type Flavour = "devkit" | "kata" | "strict";

export const FLAVOURS: readonly Flavour[] = ["devkit", "kata", "strict"];

export function parseFlavour(text: string): Flavour {
  const found = FLAVOURS.find((flavour) => flavour === text);
  if (found === undefined) throw new Error(`flavour: expected ${FLAVOURS.join(", ")}, got ${text}`);
  return found;
}

/** Where the bundles of a flavour and their maps lie. Simulated guests run on the devkit's. */
export function bundlesOf(flavour: Flavour): { readonly bundles: string; readonly sourceMaps: string } {
  if (flavour === "devkit") return { bundles: BUNDLES, sourceMaps: SOURCE_MAPS };
  const folder = resolve(ROOT, "build", flavour);
  return { bundles: resolve(folder, "bundles"), sourceMaps: resolve(folder, "source-maps") };
}

/** The policy that is in force until initdata or SetPolicy bring another. */
export const DEFAULT_POLICY: Readonly<Record<Flavour, string>> = {
  devkit: resolve(ROOT, "guest-rootfs/policies/allow-all.rego"),
  kata: resolve(ROOT, "guest-rootfs/policies/allow-all.rego"),
  strict: resolve(ROOT, "guest-rootfs/policies/closed.rego"),
};
