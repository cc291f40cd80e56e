import { AttestationAgentService, GetResourceService } from "@nacre/protocols";

import { attestationReply } from "./attestation-routes.ts";
import type { Component } from "./component.ts";
import { failureReply } from "./failure-reply.ts";
import type { Feature } from "./options.ts";
import { failure, json, notAllowed, notFound, octets, type RestReply, type RestRequest } from "./reply.ts";
import { VERSION } from "./version.ts";

const AGENT_ROOT = "/aa";
const HUB_ROOT = "/cdh";
const RESOURCE = "/resource";

export interface RouterOptions {
  readonly feature: Feature;
  readonly agent: Component;
  readonly hub: Component;
  /** Told of failures, which the reply says little of. */
  readonly onError: (path: string, error: unknown) => void;
}

/** Answers what containers ask. Never rejects. */
export class Router {
  readonly #options: RouterOptions;

  constructor(options: RouterOptions) {
    this.#options = options;
  }

  async reply(request: RestRequest): Promise<RestReply> {
    try {
      return await this.#reply(request);
    } catch (error) {
      this.#options.onError(request.path, error);
      return failureReply(error, request.query);
    }
  }

  /** What a feature holds is refused as a whole before it is looked whether it is there. */
  async #reply(request: RestRequest): Promise<RestReply> {
    const { agent, feature, hub } = this.#options;
    const { path } = request;
    if (path === "/info") return request.method === "GET" ? await this.#info(request.signal) : notAllowed();
    if (isBelow(path, AGENT_ROOT)) {
      if (feature === "resource") return failure(404, "Attestation Feature Not Enabled");
      return await attestationReply(agent, path.slice(AGENT_ROOT.length), request);
    }
    if (isBelow(path, HUB_ROOT)) {
      if (feature === "attestation") return failure(404, "Resource Feature Not Enabled");
      return await resourceReply(hub, path.slice(HUB_ROOT.length), request);
    }
    return notFound();
  }

  /** Without what an agent that is away would say. */
  async #info(signal: AbortSignal): Promise<RestReply> {
    const { agent, feature } = this.#options;
    const { GetAdditionalTees, GetTeeType } = AttestationAgentService.methods;
    const how = { signal, repeatable: true };
    let known: { readonly tee?: string; readonly additional_tees?: readonly string[] } = {};
    try {
      const { tee } = await agent.call(GetTeeType, {}, how);
      const { additional_tees: devices } = await agent.call(GetAdditionalTees, {}, how);
      known = { tee, ...(devices.length === 0 ? {} : { additional_tees: devices }) };
    } catch (error) {
      this.#options.onError("/info", error);
    }
    return json(JSON.stringify({ version: VERSION, ...known, feature }));
  }
}

/** Any method gets it; a query is not passed on, as upstream has it. */
async function resourceReply(hub: Component, path: string, { signal }: RestRequest): Promise<RestReply> {
  if (!path.startsWith(`${RESOURCE}/`)) return notFound();
  const ResourcePath = `kbs://${path.slice(RESOURCE.length)}`;
  const { Resource } = await hub.call(
    GetResourceService.methods.GetResource,
    { ResourcePath },
    { signal, repeatable: true },
  );
  return octets(Resource);
}

function isBelow(path: string, root: string): boolean {
  return path === root || path.startsWith(`${root}/`);
}
