import { readFileSync } from "node:fs";

import { NacreError } from "../error.ts";
import { removeGuest } from "./cleanup.ts";
import { AGENT_PORT, type GuestLayout, guestLayout, isGuestId, portSocket, stateRoot } from "./layout.ts";
import { processEnd, sendSignal } from "./process-end.ts";
import { type GuestKind, type GuestNetwork, type GuestState, isTended, layoutsOf, readState } from "./state.ts";

/** A running guest. Any process may hold one; it lives until somebody stops it. */
export interface Guest extends AsyncDisposable {
  readonly id: string;
  readonly kind: GuestKind;
  /** The agent's socket, as the runtime's `remote://` dials it. */
  readonly agentAddress: string;
  /** The same through hybrid vsock, which has every other port, too. */
  readonly hybridAddress: string;
  /** The machine's address as the guest sees it: bind a registry here. */
  readonly gateway: string;
  /** Both, as another guest can be given them. */
  readonly network: GuestNetwork;
  /** The guest's own address. */
  readonly address: string;
  /** Why a virtual machine has no network: its policy's words. Undefined where it has one. */
  readonly networkRefusal: string | undefined;
  /**
   * Of a virtual machine with a TPM: the public part of the key by which that signs quotes, base64 of SPKI, as evidence and
   * the reference value `trusted_aks` have it.
   */
  readonly attestationKey: string | undefined;
  /** ISO 8601. */
  readonly created: string;
  readonly logFile: string;
  /** What a debugger connects to, of a guest that was started with one of its daemons named; else undefined. */
  readonly debugUrl: string | undefined;
  /** The guest's first process, as this machine numbers it; of a virtual machine: QEMU. */
  readonly initPid: number;
  /** Where files of this guest may be kept; the folder goes with the guest. */
  readonly layout: GuestLayout;
  /** The log so far; empty when it went with the guest. */
  log(): string;
  /** Resolves when the guest has ended, by itself or stopped, and everything of it is gone. */
  readonly ended: Promise<void>;
  /** Powers it off and removes everything that was made for it. */
  stop(): Promise<void>;
}

export function guestFrom(layout: GuestLayout, state: GuestState): Guest {
  let ending: Promise<void> | undefined;
  const ended = (): Promise<void> => {
    ending ??= (async () => {
      if (state.supervisor !== undefined) await processEnd(state.supervisor);
      // A supervisor that was killed has left its work.
      await removeGuest(layout);
    })();
    return ending;
  };
  const stop = async (): Promise<void> => {
    if (state.supervisor !== undefined) sendSignal(state.supervisor, "SIGTERM");
    await ended();
  };
  return {
    id: state.id,
    kind: state.kind,
    agentAddress: `unix://${portSocket(layout, AGENT_PORT)}`,
    hybridAddress: `hvsock://${layout.hybridSocket}:${AGENT_PORT}`,
    network: state.network,
    gateway: state.network.gateway,
    address: state.network.address,
    networkRefusal: state.networkRefusal,
    attestationKey: state.attestationKey,
    created: state.created,
    logFile: state.log,
    debugUrl: state.debugUrl,
    initPid: state.init?.pid ?? 0,
    layout,
    log: () => readLog(state.log),
    get ended() {
      return ended();
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** The guests that run now. */
export function listGuests(root: string = stateRoot()): readonly Guest[] {
  return layoutsOf(root).flatMap((layout) => {
    const state = readState(layout);
    return state?.ready === true && isTended(state) ? [guestFrom(layout, state)] : [];
  });
}

/** A guest by its id, or by the beginning of one. Throws `not-found`. */
export function findGuest(id: string, root: string = stateRoot()): Guest {
  const guests = listGuests(root).filter((guest) => guest.id.startsWith(id));
  const [guest] = guests;
  if (guest === undefined) throw new NacreError("not-found", `no guest ${JSON.stringify(id)} runs`);
  if (guests.length > 1) throw new NacreError("not-found", `more than one guest begins with ${JSON.stringify(id)}`);
  return guest;
}

/** Stops a guest, also one that is still starting or whose supervisor is gone. Throws `not-found`. */
export async function stopGuest(id: string, root: string = stateRoot()): Promise<void> {
  const layout = guestLayout(root, id);
  const state = isGuestId(id) ? readState(layout) : undefined;
  if (state === undefined) throw new NacreError("not-found", `no guest ${JSON.stringify(id)}`);
  await guestFrom(layout, state).stop();
}

function readLog(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
