import type { AgentService } from "@nacre/protocols";
import type { Handlers } from "@nacre/ttrpc";

import { debugQuote } from "../debug-quote.ts";
import { invalidArgument } from "../error.ts";
import type { AgentParts } from "./deps.ts";

type Names = "UpdateInterface" | "UpdateRoutes" | "AddARPNeighbors" | "ListInterfaces" | "ListRoutes";

/** Calls on the guest's network (section 1.3). */
export function networkHandlers({ network }: AgentParts): Required<Pick<Handlers<typeof AgentService>, Names>> {
  return {
    UpdateInterface({ interface: wanted }, { signal }) {
      if (wanted === null) throw invalidArgument(debugQuote("empty update interface request"));
      return network.updateInterface(wanted, signal);
    },

    async UpdateRoutes({ routes }, { signal }) {
      if (routes === null) throw invalidArgument(debugQuote("empty update routes request"));
      return { Routes: await network.updateRoutes(routes.Routes, signal) };
    },

    async AddARPNeighbors({ neighbors }, { signal }) {
      if (neighbors === null) throw invalidArgument(debugQuote("empty add arp neighbours request"));
      await network.addNeighbours(neighbors.ARPNeighbors, signal);
      return {};
    },

    ListInterfaces: async () => ({ Interfaces: await network.listInterfaces() }),

    ListRoutes: async () => ({ Routes: await network.listRoutes() }),
  };
}
