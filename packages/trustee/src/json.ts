import { parseStrictJson } from "@nacre/kbs-protocol";

import { TrusteeError, type TrusteeErrorCode } from "./error.ts";

/** As {@link parseStrictJson}, a peer's or a file's. Throws with the given code, quoting nothing of the text. */
export function parseJson(text: string, what: string, code: TrusteeErrorCode): unknown {
  try {
    return parseStrictJson(text, what);
  } catch (cause) {
    // Its message says what was expected, and no more.
    throw new TrusteeError(code, cause instanceof Error ? cause.message : `${what}: expected JSON`);
  }
}

/** Bytes as UTF-8 JSON. */
export function parseJsonBytes(bytes: Uint8Array, what: string, code: TrusteeErrorCode): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new TrusteeError(code, `${what}: expected UTF-8`, { cause });
  }
  return parseJson(text, what, code);
}
