import { mkdir, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

import { parseResourceUri } from "@nacre/kbs-protocol";

import { ConfigError } from "../error.ts";
import type { Resources } from "./resources.ts";

/** Where a credential may lie (upstream's folder), and where keys that verify sealed secrets do. */
export const CREDENTIALS_ROOT = "/run/confidential-containers/cdh/kbs";
export const SIGNING_KEYS_ROOT = "/run/confidential-containers/cdh/sealed-secret";

/** A resource that is in a file before anybody is served. */
export interface Credential {
  readonly path: string;
  readonly uri: string;
}

/** Entries of a configuration; each costs a request at start. */
const MAX_CREDENTIALS = 64;
const MAX_PATH = 4096;

/** Checks `[[credentials]]`. Throws ConfigError naming the entry. */
export function parseCredentials(value: unknown): readonly Credential[] {
  if (!Array.isArray(value) || value.length > MAX_CREDENTIALS) {
    throw new ConfigError(`[[credentials]]: expected at most ${MAX_CREDENTIALS} tables`);
  }
  return value.map((entry: unknown, index) => {
    const table = (typeof entry === "object" && entry !== null ? entry : {}) as Record<string, unknown>;
    const { path, resource_uri: uri, ...rest } = table;
    const [unknown] = Object.keys(rest);
    if (unknown !== undefined) throw new ConfigError(`credentials[${index}] has the unknown key ${unknown}`);
    if (typeof path !== "string" || typeof uri !== "string") {
      throw new ConfigError(`credentials[${index}]: expected path and resource_uri`);
    }
    return credential(path, uri, [CREDENTIALS_ROOT, SIGNING_KEYS_ROOT], `credentials[${index}]`);
  });
}

/**
 * `cdh.kbs_resources` of the kernel's command line: `URI::PATH,…`. That line is the host's, so it may only add files for
 * KMS clients: never keys that verify secrets. Throws ConfigError.
 */
export function parseKernelCredentials(value: string): readonly Credential[] {
  const entries = value.split(",");
  if (entries.length > MAX_CREDENTIALS) {
    throw new ConfigError(`cdh.kbs_resources: expected at most ${MAX_CREDENTIALS} entries`);
  }
  return entries.map((entry) => {
    const [uri, path, ...more] = entry.split("::");
    if (uri === undefined || path === undefined || more.length > 0) {
      throw new ConfigError("cdh.kbs_resources: expected URI::PATH,…");
    }
    return credential(path, uri, [CREDENTIALS_ROOT], "cdh.kbs_resources");
  });
}

/** Those of both; no two have one path, so that the host's take no place of the configuration's. Throws ConfigError. */
export function mergeCredentials(measured: readonly Credential[], host: readonly Credential[]): readonly Credential[] {
  const all = [...measured, ...host];
  const twice = all.find(({ path }, index) => all.findIndex((other) => other.path === path) < index);
  if (twice !== undefined) throw new ConfigError(`credentials: ${twice.path} is named twice`);
  return all;
}

function credential(path: string, uri: string, roots: readonly string[], what: string): Credential {
  const parts = path.split("/").slice(1);
  const plain = parts.every((part) => part !== "" && part !== "." && part !== ".." && part.length <= 255);
  const below = roots.some((root) => path.startsWith(`${root}/`));
  if (!below || !plain || path.includes("\0") || path.length > MAX_PATH) {
    throw new ConfigError(`${what}: expected a path below ${roots.join(" or ")} without . and ..`);
  }
  try {
    parseResourceUri(uri);
  } catch (cause) {
    throw new ConfigError(`${what}: expected a resource's name`, { cause });
  }
  return { path, uri };
}

/** Gets them all and writes them for this process's user alone. Rejects when one of them fails. */
export async function writeCredentials(
  credentials: readonly Credential[],
  resources: Pick<Resources, "get">,
  signal: AbortSignal,
  root = "",
): Promise<void> {
  await Promise.all(
    credentials.map(async ({ path, uri }) => {
      let bytes: Buffer;
      try {
        bytes = await resources.get(uri, signal);
      } catch (cause) {
        throw new ConfigError(`credential ${path}: ${uri} was not had`, { cause });
      }
      try {
        const file = `${root}${path}`;
        await mkdir(dirname(file), { recursive: true, mode: 0o700 });
        await writeFile(`${file}.new`, bytes, { mode: 0o600 });
        await rename(`${file}.new`, file);
      } finally {
        bytes.fill(0);
      }
    }),
  );
}
