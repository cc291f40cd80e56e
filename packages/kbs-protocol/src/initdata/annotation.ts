import { KbsProtocolError } from "../error.ts";
import { MAX_DOCUMENT } from "./document.ts";
import { gunzip, gzip } from "./gzip.ts";
import { MAX_COMPRESSED } from "./image.ts";

/** The pod annotation by which a document reaches a Kata runtime. */
export const INITDATA_ANNOTATION = "io.katacontainers.config.hypervisor.cc_init_data";

const MAX_TEXT: number = Math.ceil(MAX_COMPRESSED / 3) * 4;

/** base64 of gzip. */
export async function encodeInitdataAnnotation(toml: Uint8Array): Promise<string> {
  return (await gzip(toml)).toString("base64");
}

/** Rejects with {@link KbsProtocolError} `annotation`, `gzip` or `too-long`. */
export async function decodeInitdataAnnotation(text: string): Promise<Buffer> {
  if (text.length > MAX_TEXT) {
    throw new KbsProtocolError("too-long", `initdata: expected at most ${MAX_TEXT} characters, got ${text.length}`);
  }
  const bytes = Buffer.from(text, "base64");
  // Buffer takes anything for base64; what it did not need shows when it is written again.
  if (text === "" || bytes.toString("base64") !== text) {
    throw new KbsProtocolError("annotation", "initdata: expected base64");
  }
  return gunzip(bytes, MAX_DOCUMENT);
}
