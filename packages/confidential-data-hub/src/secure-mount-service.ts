import type { ComponentLog, SecureMountService } from "@nacre/protocols";
import type { Handlers } from "@nacre/ttrpc";

import { failure, failureText } from "./answer.ts";
import { HubError } from "./error.ts";

/** Programs on the host's side of the trust boundary would hold the data of these; nobody who needs them is served. */
const REFUSED: ReadonlyMap<string, string> = new Map([
  ["alibaba-cloud-oss", "volumes of the kind alibaba-cloud-oss are not mounted by this hub"],
]);

/** The SecureMountService, which refuses: no kind of volume is mounted so far. */
export function secureMountService(log: ComponentLog): Handlers<typeof SecureMountService> {
  return {
    SecureMount({ volume_type: type }) {
      const why =
        REFUSED.get(type) ?? `no kind of volume is mounted by this hub, got ${JSON.stringify(type.slice(0, 64))}`;
      const error = new HubError("malformed", why);
      throw failure(log, failureText("Secure Mount failed", error), error);
    },
  };
}
