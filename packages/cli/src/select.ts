import { Agent } from "./agent.ts";
import { type ContainerRecord } from "./container-store.ts";
import { NacreError } from "./error.ts";
import { findGuest, type Guest, listGuests } from "./guest/guest.ts";
import { Pod } from "./pod.ts";

/** The guest that a command is about: the one named, or the only one. Throws NacreError. */
export function selectGuest(id: string | undefined): Guest {
  if (id !== undefined) return findGuest(id);
  const guests = listGuests();
  const [only] = guests;
  if (only === undefined) throw new NacreError("not-found", "no guest runs; start one: nacre guest start");
  if (guests.length > 1) {
    throw new NacreError(
      "usage",
      `several guests run, say which: --guest ${guests.map((guest) => guest.id).join("|")}`,
    );
  }
  return only;
}

/** A guest, a connection to its agent, and its pod. */
export interface OpenPod extends Disposable {
  readonly pod: Pod;
  readonly agent: Agent;
}

export async function openPod(guest: Guest, signal?: AbortSignal): Promise<OpenPod> {
  const agent = await Agent.connect(guest.agentAddress, signal);
  return { agent, pod: new Pod(guest, agent), [Symbol.dispose]: () => agent[Symbol.dispose]() };
}

/** A container by name, in the guest named or in any. Throws NacreError `not-found`. */
export async function openContainer(
  name: string,
  guestId: string | undefined,
  signal?: AbortSignal,
): Promise<OpenPod & { readonly record: ContainerRecord }> {
  const guests = guestId === undefined ? listGuests() : [findGuest(guestId)];
  const found: { pod: OpenPod; record: ContainerRecord }[] = [];
  for (const guest of guests) {
    const pod = await openPod(guest, signal);
    const record = pod.pod.containers.find(name);
    if (record === undefined) pod[Symbol.dispose]();
    else found.push({ pod, record });
  }
  const [first, ...others] = found;
  if (first === undefined) throw new NacreError("not-found", `no container ${name}; nacre ps lists all`);
  if (others.length > 0) {
    for (const { pod } of found) pod[Symbol.dispose]();
    const ids = found.map(({ pod }) => pod.pod.guest.id);
    throw new NacreError("usage", `several guests have a container ${name}, say which: --guest ${ids.join("|")}`);
  }
  return { ...first.pod, record: first.record };
}
