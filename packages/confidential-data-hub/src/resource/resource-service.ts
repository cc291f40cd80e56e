import type { ComponentLog, GetResourceService } from "@nacre/protocols";
import type { Handlers } from "@nacre/ttrpc";

import { failure, failureText } from "../answer.ts";
import { HubError } from "../error.ts";
import type { Resources } from "./resources.ts";

/** The GetResourceService. Its sentences are upstream's; causes follow them. */
export function resourceService(resources: Resources, log: ComponentLog): Handlers<typeof GetResourceService> {
  return {
    async GetResource({ ResourcePath }, context) {
      log("info", `getting resource ${JSON.stringify(ResourcePath)}`);
      try {
        const Resource = await resources.get(ResourcePath, context.signal);
        context.zeroAfter(Resource);
        return { Resource };
      } catch (error) {
        const unreachable = error instanceof HubError && error.code === "agent";
        const sentence = unreachable ? "kbs client initialization failed" : "Get Resource failed";
        throw failure(log, failureText(sentence, error), error);
      }
    },
  };
}
