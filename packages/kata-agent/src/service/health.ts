import { Health } from "@nacre/protocols";
import type { Handlers } from "@nacre/ttrpc";

import { AGENT_VERSION, API_VERSION } from "../version.ts";

/** `CheckResponse.ServingStatus`: the agent serves from the moment its socket is open. */
const SERVING = 1;

/** Health is answered without the policy and without any lock (design decision 2). */
export function healthHandlers(): Handlers<typeof Health> {
  return {
    Check: () => ({ status: SERVING }),
    Version: () => ({ agent_version: AGENT_VERSION, grpc_version: API_VERSION }),
  };
}
