import { fileURLToPath } from "node:url";

/**
 * How another program of this package is started: by this very Node, from source where we run from source. Tests and
 * the installed command thus run the same code.
 */
export function entryCommand(name: string, flags: readonly string[] = []): readonly string[] {
  const fromSource = import.meta.url.endsWith(".ts");
  const file = fileURLToPath(new URL(`./${name}${fromSource ? ".ts" : ".js"}`, import.meta.url));
  const conditions = fromSource ? ["--conditions=source"] : [];
  return [process.execPath, "--disable-warning=ExperimentalWarning", ...conditions, ...flags, file];
}
