import { KbsProtocolError } from "../error.ts";

const LEVEL = 9;

/** All of `bytes` must be gzip; more than `max` bytes out of it are not made. Rejects with KbsProtocolError. */
export async function gunzip(bytes: Uint8Array, max: number): Promise<Buffer> {
  // Not at start: only a guest with initdata ever needs it.
  const { gunzipSync } = await import("node:zlib");
  try {
    // Absent from the types: with `info` the result is the buffer and the engine that made it.
    const result = gunzipSync(bytes, { maxOutputLength: max, info: true }) as unknown as Inflated;
    if (result.engine.bytesWritten === bytes.length) return result.buffer;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") {
      throw new KbsProtocolError("too-long", `initdata: expected a document of at most ${max} bytes`, { cause });
    }
    throw new KbsProtocolError("gzip", "initdata: expected gzip", { cause });
  }
  throw new KbsProtocolError("gzip", "initdata: expected nothing behind the compressed document");
}

interface Inflated {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}

export async function gzip(bytes: Uint8Array): Promise<Buffer> {
  const { gzipSync } = await import("node:zlib");
  return gzipSync(bytes, { level: LEVEL });
}
