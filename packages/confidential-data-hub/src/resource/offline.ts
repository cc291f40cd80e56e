import { readFile } from "node:fs/promises";

import { parseResourceUri, parseStrictJson } from "@nacre/kbs-protocol";

import { ConfigError, HubError } from "../error.ts";
import type { Resources } from "./resources.ts";

/** Upstream's two, in the image; the later one counts. */
export const OFFLINE_FILES: readonly string[] = [
  "/etc/aa-offline_fs_kbc-keys.json",
  "/etc/aa-offline_fs_kbc-resources.json",
];
/** Of one file. */
const MAX_FILE: number = 16 * 1024 * 1024;

/**
 * Resources of files in the measured image: JSON objects from `REPOSITORY/TYPE/TAG` to base64. A file that is not there
 * says nothing. Rejects with ConfigError for one that is something else.
 */
export async function offlineResources(files: readonly string[]): Promise<Resources> {
  const known = new Map<string, string>();
  for (const file of files) for (const [name, value] of await read(file)) known.set(name, value);
  return {
    // Without an await, so that a name that is none rejects, too.
    get: async (name) => {
      const { plugin, path } = parseResourceUri(name);
      const value = plugin === "resource" ? known.get(path) : undefined;
      if (value === undefined) throw new HubError("missing", `resource: no offline file has ${path}`);
      return await Promise.resolve(Buffer.from(value, "base64"));
    },
    close: () => {},
  };
}

async function read(file: string): Promise<[string, string][]> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return [];
    throw new ConfigError(`failed to read ${file}`, { cause });
  }
  if (text.length > MAX_FILE) throw new ConfigError(`${file}: expected at most ${MAX_FILE} characters`);
  let value: unknown;
  try {
    value = parseStrictJson(text, file);
  } catch (cause) {
    throw new ConfigError(`failed to read ${file}`, { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ConfigError(`${file}: expected an object`);
  }
  return Object.entries(value).map(([name, one]: [string, unknown]) => {
    if (typeof one !== "string" || !isBase64(one)) throw new ConfigError(`${file}: expected base64 as ${name}`);
    return [name, one];
  });
}

function isBase64(text: string): boolean {
  return Buffer.from(text, "base64").toString("base64") === text;
}
