import { Authenticator } from "./auth.ts";
import { readAll } from "./body.ts";
import { OciError } from "./error.ts";
import type { Clock, Http } from "./http.ts";
import { Attempts, DEFAULT_RETRY, type RetryPolicy } from "./retry.ts";
import { Transfer } from "./transfer.ts";

/**
 * A small file of a web server, which gets no credentials; redirects are followed and passing faults tried again. Undefined where
 * there is none.
 *
 * @throws OciError `size` when it is longer than `limit` bytes
 */
export async function fetchFile(
  url: URL,
  limit: number,
  { http, clock, retry }: { readonly http: Http; readonly clock: Clock; readonly retry?: RetryPolicy | undefined },
  signal?: AbortSignal,
): Promise<Buffer | undefined> {
  const transfer = new Transfer(http, clock, new Authenticator(http, clock, "", undefined));
  const attempts = new Attempts(retry ?? DEFAULT_RETRY, clock, signal);
  for (;;) {
    try {
      const response = await transfer.get(url, {}, [200], signal);
      return await readAll(`file ${url.href}`, response.body, limit);
    } catch (error) {
      if (error instanceof OciError && error.code === "not-found") return undefined;
      await attempts.next(error);
    }
  }
}
