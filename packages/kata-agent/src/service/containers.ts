import type { AgentService } from "@nacre/protocols";
import type { Handlers } from "@nacre/ttrpc";

import { internalError } from "../error.ts";
import type { AgentParts } from "./deps.ts";
import { findContainer, findQuoted } from "./lookup.ts";

type Names =
  | "CreateContainer"
  | "StartContainer"
  | "RemoveContainer"
  | "ExecProcess"
  | "StatsContainer"
  | "UpdateContainer"
  | "PauseContainer"
  | "ResumeContainer";

/** Calls on a container as a whole (section 1.3). */
export function containerHandlers({
  containers,
  creator,
}: AgentParts): Required<Pick<Handlers<typeof AgentService>, Names>> {
  return {
    async CreateContainer(request, { signal }) {
      await creator.create(request, signal);
      return {};
    },

    async StartContainer({ container_id }, { signal }) {
      await findContainer(containers, container_id).start(signal);
      return {};
    },

    async RemoveContainer({ container_id, timeout }) {
      findContainer(containers, container_id);
      await creator.remove(container_id, timeout * 1000);
      return {};
    },

    async ExecProcess({ container_id, exec_id, process }, { signal }) {
      if (process === null) throw internalError("Unable to parse process from ExecProcessRequest");
      await findContainer(containers, container_id).exec({ execId: exec_id, process, signal });
      return {};
    },

    StatsContainer: ({ container_id }) => findQuoted(containers, container_id).stats(),

    async UpdateContainer({ container_id, resources }, { signal }) {
      await findQuoted(containers, container_id).update(resources, signal);
      return {};
    },

    async PauseContainer({ container_id }, { signal }) {
      await findQuoted(containers, container_id).pause(signal);
      return {};
    },

    async ResumeContainer({ container_id }, { signal }) {
      await findQuoted(containers, container_id).resume(signal);
      return {};
    },
  };
}
