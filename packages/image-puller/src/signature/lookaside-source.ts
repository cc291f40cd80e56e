import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { type Clock, fetchFile, type Http, OciError } from "oci-client";
import { PullError } from "../error.ts";
import { MAX_PAYLOAD } from "./payload.ts";
import { MAX_SIGNATURES } from "./signature-source.ts";

/** A signed payload with the packets around it. */
const MAX_FILE: number = 2 * MAX_PAYLOAD;

/**
 * The simple signatures in a folder: every regular file of a local one, as image-rs takes them; `signature-1`, `signature-2`, … up
 * to the first that is missing over HTTP, as the tools that write them count. A folder that is missing has none.
 *
 * @throws OciError for what the server or the network do; PullError `storage`
 */
export async function storedSignatures(
  folder: string,
  http: Http,
  clock: Clock,
  signal?: AbortSignal,
): Promise<readonly Uint8Array[]> {
  return folder.startsWith("file:")
    ? await localFiles(fileURLToPath(folder))
    : await served(folder, http, clock, signal);
}

async function localFiles(folder: string): Promise<readonly Uint8Array[]> {
  let entries;
  try {
    entries = await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")) return [];
    throw new PullError("storage", `signatures in ${folder}`, { cause: error });
  }
  const names = entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  const files: Uint8Array[] = [];
  for (const name of names.toSorted().slice(0, MAX_SIGNATURES)) {
    const bytes = await readBounded(join(folder, name));
    if (bytes !== undefined) files.push(bytes);
  }
  return files;
}

/** The bytes of a file; undefined for one that is too long to be a signature. */
async function readBounded(path: string): Promise<Uint8Array | undefined> {
  await using file = await open(path);
  const buffer = Buffer.alloc(MAX_FILE + 1);
  let length = 0;
  for (;;) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length);
    length += bytesRead;
    if (length === buffer.length) return undefined;
    if (bytesRead === 0) return Buffer.from(buffer.subarray(0, length));
  }
}

async function served(
  folder: string,
  http: Http,
  clock: Clock,
  signal: AbortSignal | undefined,
): Promise<readonly Uint8Array[]> {
  const files: Uint8Array[] = [];
  while (files.length < MAX_SIGNATURES) {
    const url = new URL(`${folder}/signature-${files.length + 1}`);
    try {
      const file = await fetchFile(url, MAX_FILE, { http, clock }, signal);
      if (file === undefined) break;
      files.push(file);
    } catch (error) {
      // One that is no signature does not hide the others.
      if (!(error instanceof OciError && error.code === "size")) throw error;
      files.push(Buffer.alloc(0));
    }
  }
  return files;
}
