import { KbsProtocolError } from "../error.ts";
import { MAX_REPLY } from "../jwe/flattened.ts";
import { type ResourceUri, resourcePath } from "../resource-uri.ts";
import { baseUrl, USER_AGENT } from "./handshake.ts";
import { KBS_PREFIX } from "./messages.ts";
import type { KbsClock, KbsHttp } from "./ports.ts";
import { bodyOf } from "./reply.ts";
import { withRetries } from "./retry.ts";
import type { SessionSource } from "./sessions.ts";

export interface ResourceOptions {
  readonly url: string;
  readonly http: KbsHttp;
  readonly sessions: SessionSource;
  readonly clock: KbsClock;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Refusals that a new attestation does not change: the policy's, and of what is asked for. All others, and those that
 * nobody named, may be of a session that the broker has forgotten or a token that ran out.
 */
const FINAL: readonly string[] = ["PolicyDeny", "PolicyEngineError", "PluginInternalError", "JweError"];

/**
 * A resource. A session that the broker does not take is made anew once. The caller zeroes the result. Rejects with
 * KbsProtocolError (`refused` with the broker's variant, `not-found`, `jwe`, `network`, `peer`), or what the sessions or
 * the signal reject with.
 */
export async function getResource(uri: ResourceUri, options: ResourceOptions): Promise<Buffer> {
  try {
    return await getOnce(uri, options, false);
  } catch (error) {
    const stale = error instanceof KbsProtocolError && error.code === "refused" && !FINAL.includes(error.variant ?? "");
    if (!stale) throw error;
    return await getOnce(uri, options, true);
  }
}

async function getOnce(uri: ResourceUri, options: ResourceOptions, fresh: boolean): Promise<Buffer> {
  const { signal } = options;
  const session = await options.sessions.session(fresh, signal);
  const body = await withRetries(options.clock, signal, async () => {
    const reply = await options.http.send({
      method: "GET",
      url: `${baseUrl(options.url)}${KBS_PREFIX}${resourcePath(uri)}`,
      headers: { "user-agent": USER_AGENT, ...session.headers },
      maxBody: MAX_REPLY,
      signal,
    });
    return bodyOf(reply, "resource");
  });
  return session.key.decrypt(body);
}
