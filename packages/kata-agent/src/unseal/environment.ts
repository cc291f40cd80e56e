import { internalError } from "../error.ts";
import { SEALED, type Unsealing } from "./unsealing.ts";

/**
 * An environment whose sealed values are opened, all others as they are. From here on a secret is a text, which cannot be
 * wiped: the runtime takes it in JSON. Rejects with INTERNAL.
 */
export async function unsealEnvironment(
  env: readonly string[],
  unsealing: Unsealing,
  signal: AbortSignal,
): Promise<string[]> {
  const opened: string[] = [];
  for (const entry of env) {
    const at = entry.indexOf("=") + 1;
    opened.push(at > 0 && entry.startsWith(SEALED, at) ? await openEntry(entry, at, unsealing, signal) : entry);
  }
  return opened;
}

async function openEntry(entry: string, at: number, unsealing: Unsealing, signal: AbortSignal): Promise<string> {
  const name = entry.slice(0, at);
  const what = `the environment's ${JSON.stringify(name.slice(0, -1))}`;
  const secret = await unsealing.open(what, Buffer.from(entry.slice(at)), signal);
  if (secret === undefined) return entry;
  try {
    return `${name}${new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(secret)}`;
  } catch {
    throw internalError(`unsealing ${what}`, new Error("the secret is not UTF-8"));
  } finally {
    secret.fill(0);
  }
}
