import type { AgentService, Init } from "@nacre/protocols";

import type { PodContainer } from "../container.ts";
import type { Pod } from "../pod.ts";
import type { PolicyOptions } from "../policy.ts";
import type { PodHost } from "./pod-host.ts";
import { containerRequests, type ContainerRequests, execRequest, pauseRequests, sandboxRequest } from "./requests.ts";

const SIGTERM = 15;
const SIGKILL = 9;

type Methods = typeof AgentService.methods;

/** One thing that a policy is asked in the life of a pod. */
export type PodQuestion =
  | { [M in keyof Methods]: { readonly method: M; readonly request: RequestOf<Methods[M]> } }[keyof Methods]
  /** What the agent asks itself after a pull. */
  | { readonly method: "PulledImage"; readonly request: PulledImage };

type RequestOf<M> = M extends { encodeRequest(request: Init<infer R>): Uint8Array } ? Init<R> : never;

/** What the agent says of an image that it has pulled. */
export interface PulledImage {
  readonly container_id: string;
  readonly image: string;
  readonly index_digest: string | null;
  readonly manifest_digest: string | null;
  readonly config_digest: string | null;
  readonly diff_ids: readonly string[];
}

/**
 * All that a policy is asked while the pod runs from its beginning to its end, in order, as a Kata runtime and the agent
 * ask it: the network, the sandbox, each container with its files, the commands of its probes and hooks and those that
 * the owner allows, a restart of each container that stays, and the end.
 */
export function podLifetime(pod: Pod, host: PodHost, allowed: PolicyOptions = {}): readonly PodQuestion[] {
  const pause = pauseRequests(pod, host);
  const running: string[] = [];
  const questions: PodQuestion[] = [
    ...network(host),
    { method: "CreateSandbox", request: sandboxRequest(host) },
    { method: "GetGuestDetails", request: { mem_block_size: true, mem_hotplug_probe: true } },
    ...begin(pause),
    { method: "GetOOMEvent", request: {} },
    { method: "WaitProcess", request: { container_id: pause.id, exec_id: pause.id } },
  ];
  for (const container of pod.containers) {
    const ends = container.init && !container.restarts;
    // A container that stays is one that is started again when it fails.
    for (let life = ends ? 1 : 0; life < 2; life += 1) {
      const { id, life: asked } = containerLife(container, pod, host, allowed);
      questions.push(...asked);
      if (ends || life === 0) questions.push(...end(id));
      else running.push(id);
    }
  }
  for (const id of running)
    questions.push({ method: "SignalProcess", request: { container_id: id, signal: SIGTERM } }, ...end(id));
  return [...questions, ...end(pause.id), { method: "DestroySandbox", request: {} }];
}

function network({ facts }: PodHost): readonly PodQuestion[] {
  const address = { family: 0, address: facts.podAddress, mask: "24" };
  return [
    {
      method: "UpdateInterface",
      request: {
        interface: { device: "eth0", name: "eth0", IPAddresses: [address], mtu: 1500n, hwAddr: "02:00:00:00:00:01" },
      },
    },
    { method: "UpdateRoutes", request: { routes: { Routes: [{ gateway: "10.244.0.1", device: "eth0" }] } } },
    {
      method: "AddARPNeighbors",
      request: {
        neighbors: {
          ARPNeighbors: [
            { toIPAddress: { address: "10.244.0.1" }, device: "eth0", lladdr: "02:00:00:00:00:02", state: 128 },
          ],
        },
      },
    },
  ];
}

function containerLife(
  container: PodContainer,
  pod: Pod,
  host: PodHost,
  { exec = [], logs = false }: PolicyOptions,
): { id: string; life: readonly PodQuestion[] } {
  const requests = containerRequests(container, pod, host);
  const { id } = requests;
  const ids = { container_id: id, exec_id: id };
  return {
    id,
    life: [
      ...begin(requests, pulled(container, id)),
      ...(logs ? [{ method: "ReadStdout", request: { ...ids, len: 32_768 } } as const] : []),
      { method: "StatsContainer", request: { container_id: id } },
      ...[...container.exec, ...exec].map((args): PodQuestion => ({
        method: "ExecProcess",
        request: execRequest(container, pod, host, { id, args }),
      })),
    ],
  };
}

function begin({ id, copies, create }: ContainerRequests, image?: PulledImage): readonly PodQuestion[] {
  return [
    ...copies.map((request): PodQuestion => ({ method: "CopyFile", request })),
    { method: "CreateContainer", request: create },
    ...(image === undefined ? [] : [{ method: "PulledImage", request: image } as const]),
    { method: "StartContainer", request: { container_id: id } },
  ];
}

function pulled({ image }: PodContainer, id: string): PulledImage {
  return {
    container_id: id,
    image: image.names[0] ?? "",
    index_digest: null,
    manifest_digest: image.manifestDigests[0] ?? null,
    config_digest: null,
    diff_ids: [],
  };
}

function end(id: string): readonly PodQuestion[] {
  return [
    { method: "SignalProcess", request: { container_id: id, signal: SIGKILL } },
    { method: "WaitProcess", request: { container_id: id, exec_id: id } },
    { method: "RemoveContainer", request: { container_id: id } },
    { method: "RemoveStaleVirtiofsShareMounts", request: {} },
  ];
}
