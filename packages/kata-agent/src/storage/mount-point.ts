import { internalError } from "../error.ts";
import { pathComponents } from "../guest-tree.ts";
import { KATA_ROOT } from "../paths.ts";

/** Folders of KATA_ROOT in which the host may place storages. The rest are bundles of containers, or the image store. */
const ALLOWED: ReadonlySet<string> = new Set(["sandbox", "shared"]);

/**
 * The folders below KATA_ROOT of a mount point that the host names. Upstream mounts anywhere, also over a container's
 * root or the agent's own files (golden-findings 11, 12); here it must lie in the sandbox's or the shared folder.
 * Throws INTERNAL.
 */
export function mountPointComponents(mountPoint: string): string[] {
  try {
    const components = pathComponents(mountPoint);
    const root = pathComponents(KATA_ROOT);
    const below = components.slice(root.length);
    const inside = root.every((name, index) => components[index] === name);
    if (!inside || below.length < 2 || !ALLOWED.has(below[0] ?? "")) {
      throw internalError(`expected a path below ${[...ALLOWED].map((name) => `${KATA_ROOT}/${name}`).join(" or ")}`);
    }
    return below;
  } catch (cause) {
    throw internalError("Could not create mountpoint", cause);
  }
}
