import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** The name that a bundle of this package looks for in its own folder. */
export const NATIVE_NAME = "koffi.node";

/**
 * Where koffi's native module for a glibc guest of this architecture lies in node_modules. A bundler's build copies it
 * beside the bundles under {@link NATIVE_NAME}; no plug-in is needed. The package of a foreign architecture is present
 * only if it was installed (`npm ci --cpu=arm64`).
 */
export function koffiNativePath(arch: "x64" | "arm64" = process.arch as "x64" | "arm64"): string {
  const require = createRequire(import.meta.url);
  return join(dirname(require.resolve(`@koromix/koffi-linux-${arch}/package.json`)), `linux_${arch}`, NATIVE_NAME);
}
