import type { ComponentLog, ImagePullService, Tracer } from "@nacre/protocols";
import type { PulledImage } from "@nacre/image-puller";
import { type Handlers, messageWithCauses } from "@nacre/ttrpc";

import { ERROR_MARK, failure } from "./answer.ts";
import { once } from "./once.ts";

/** What the service needs of a puller. */
export interface Puller {
  pull(image: string, bundle: string, signal?: AbortSignal): Promise<PulledImage>;
}

/**
 * The ImagePullService. Pulls run side by side; each ends with its call's deadline or client.
 *
 * `open` makes the puller with the first pull; when that fails the next pull tries again.
 */
export function imageService(
  open: () => Promise<Puller>,
  log: ComponentLog,
  tracer?: Pick<Tracer, "begin">,
): Handlers<typeof ImagePullService> {
  const opened = once(open);
  return {
    async PullImage({ image_url, bundle_path }, { signal }) {
      const started = performance.now();
      const pulled = tracer?.begin("pull", image_url);
      log("info", `pulling image ${JSON.stringify(image_url)} into ${JSON.stringify(bundle_path)}`);
      try {
        const image = await (await opened()).pull(image_url, bundle_path, signal);
        const time = Math.round(performance.now() - started);
        if (image.signature !== undefined) {
          const { scope, accepted } = image.signature;
          log("info", `signature policy, ${scope}: ${accepted.map((one) => JSON.stringify(one)).join(", ")}`);
        }
        log("info", `pulled image ${JSON.stringify(image_url)}, manifest ${image.manifestDigest}, in ${time} ms`);
        return {
          manifest_digest: image.manifestDigest,
          ...(image.indexDigest === undefined ? {} : { index_digest: image.indexDigest }),
          config_digest: image.configDigest,
          diff_ids: [...image.diffIds],
        };
      } catch (error) {
        // The prefix and the phrases of the puller's message are what callers match on; causes follow them.
        throw failure(log, `${ERROR_MARK}Image Pull error: ${pullMessage(error)}`, error);
      } finally {
        pulled?.();
      }
    },
  };
}

/** A puller's message has its causes already. */
function pullMessage(error: unknown): string {
  const whole = error instanceof Error && "code" in error && (error.code === "pull" || error.code === "reference");
  return whole ? error.message : messageWithCauses(error);
}
