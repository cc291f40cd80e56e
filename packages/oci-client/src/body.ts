import { OciError } from "./error.ts";

/** Reads a small body whole. @throws OciError `size` as soon as it is longer than `limit` bytes. */
export async function readAll(what: string, body: AsyncIterable<Uint8Array>, limit: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > limit) throw new OciError("size", `${what}: longer than the limit of ${limit} bytes`);
    chunks.push(Uint8Array.from(chunk));
  }
  return Buffer.concat(chunks, size);
}
