import { get } from "node:https";

import { TrusteeError } from "./error.ts";

/** Milliseconds for one answer. */
const DEADLINE_MS = 30_000;

/** Gets what is at an https:// address, at most so many bytes; no redirects. Rejects with `collateral`. */
export function fetchBytes(url: string, maximum: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown): void =>
      reject(new TrusteeError("collateral", `${new URL(url).host}: ${why}`, { cause }));
    const request = get(url, { signal: AbortSignal.timeout(DEADLINE_MS) }, (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      if (response.statusCode !== 200) {
        response.destroy();
        return fail(`answered ${response.statusCode}`);
      }
      response.on("data", (chunk: Buffer) => {
        length += chunk.length;
        if (length > maximum) response.destroy(new Error(`more than ${maximum} bytes`));
        else chunks.push(chunk);
      });
      response.once("error", (cause) => fail("broke off", cause));
      response.once("end", () => resolve(Buffer.concat(chunks)));
    });
    request.once("error", (cause) => fail("cannot be asked", cause));
  });
}
