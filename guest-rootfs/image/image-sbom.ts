import { readFileSync } from "node:fs";

import { contentsOf } from "../bundle.ts";
import { bundlesOf, type Flavour } from "../flavour.ts";
import type { LockedSources } from "../sources.ts";
import type { ImageFile } from "./image-file.ts";
import { cargoComponents, type Component, npmComponents, spdxDocument } from "./sbom.ts";
import type { ListedEntry } from "./verity-disk.ts";

/** What is in an image: its files, whose they are, and what was bundled or compiled into ours. */
export function imageSbom(
  { flavour, sources }: { readonly flavour: Flavour; readonly sources: LockedSources },
  {
    entries,
    tree,
    image,
  }: { readonly entries: readonly ListedEntry[]; readonly tree: string; readonly image: ImageFile },
): object {
  const origins = [...new Set(entries.flatMap(({ origin }) => origin ?? []))];
  const bundled = JSON.parse(readFileSync(contentsOf(bundlesOf(flavour).bundles), "utf8")) as Record<string, string[]>;
  const crates = cargoComponents();
  const npm = [...origins, ...Object.values(bundled).flat()].filter((purl) => purl.startsWith("pkg:npm/"));
  const debian = [...sources.digests].map(([purl, value]): Component => ({
    purl,
    checksum: { algorithm: "SHA256", value },
  }));
  return spdxDocument({
    name: `nacre-guest-${flavour}-${image.arch}`,
    digest: image.rootHash ?? image.sha256[image.initramfs ?? ""] ?? "",
    entries,
    tree,
    components: [
      ...origins.filter((purl) => !/^pkg:(?:npm|deb)\//u.test(purl)).map((purl): Component => ({ purl })),
      // Of locked packages those that have something in the root.
      ...debian.filter(({ purl }) => origins.includes(purl)),
      ...npmComponents(npm),
      ...crates,
    ],
    contents: {
      ...Object.fromEntries(Object.entries(bundled).map(([name, purls]) => [`/usr/lib/nacre/${name}`, purls])),
      "/usr/lib/nacre/regorus.wasm": crates.map(({ purl }) => purl),
    },
  });
}
