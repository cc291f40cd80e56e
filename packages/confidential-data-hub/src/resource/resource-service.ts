import { Code, type ComponentLog, type GetResourceService } from "@nacre/protocols";
import { type Handlers, messageWithCauses, RpcError } from "@nacre/ttrpc";

import { HubError } from "../error.ts";
import type { Resources } from "./broker.ts";

/** The GetResourceService. Its sentences are upstream's; causes follow them. */
export function resourceService(resources: Resources, log: ComponentLog): Handlers<typeof GetResourceService> {
  return {
    async GetResource({ ResourcePath }, { signal }) {
      log("info", `getting resource ${JSON.stringify(ResourcePath)}`);
      try {
        return { Resource: await resources.get(ResourcePath, signal) };
      } catch (error) {
        const unreachable = error instanceof HubError && error.code === "agent";
        const sentence = unreachable ? "kbs client initialization failed" : "Get Resource failed";
        const message = `[CDH] [ERROR]: ${sentence}: ${messageWithCauses(error)}`;
        log("error", message);
        throw new RpcError(Code.INTERNAL, message);
      }
    },
  };
}
