import { KbsProtocolError } from "../error.ts";
import { parseKbsError } from "./kbs-error.ts";
import type { KbsReply } from "./ports.ts";

/** Statuses of proxies and load balancers whose broker is away, or that want to be asked later. */
const AWAY: readonly number[] = [408, 425, 429, 502, 503, 504];

/** The body of a reply that is 200. Throws KbsProtocolError `refused`, `not-found`, `network` or `peer`. */
export function bodyOf(reply: KbsReply, what: string): string {
  if (reply.status === 200) return reply.body;
  if (AWAY.includes(reply.status))
    throw new KbsProtocolError("network", `${what}: the broker answered ${reply.status}`);
  const variant = parseKbsError(reply.body)?.variant;
  const said = variant === undefined ? "" : ` ${variant}`;
  if (reply.status === 401)
    throw new KbsProtocolError("refused", `${what}: the broker refused: 401${said}`, { variant });
  if (reply.status === 404) throw new KbsProtocolError("not-found", `${what}: not found: 404${said}`, { variant });
  throw new KbsProtocolError("peer", `${what}: expected 200, 401 or 404, got ${reply.status}`);
}
