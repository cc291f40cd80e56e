import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";

import { hasCode } from "@nacre/kata-sys-util";

import { isAlive, parseIdentity, type ProcessIdentity } from "./identity.ts";
import { type GuestLayout, guestLayout, guestsFolder, isGuestId } from "./layout.ts";

/** The point-to-point network of one guest. */
export interface GuestNetwork {
  /** The machine's side: gateway, and where a registry for the guest listens. */
  readonly gateway: string;
  /** The guest's side. */
  readonly address: string;
  readonly prefixLength: number;
}

/** Namespaces of this machine's kernel, or a virtual machine. */
export type GuestKind = "simulated" | "qemu";

/** What is written down about a guest before each thing that is made for it. */
export interface GuestState {
  readonly id: string;
  readonly kind: GuestKind;
  readonly created: string;
  readonly network: GuestNetwork;
  /** Who asked for the guest; counts until the supervisor has taken over. */
  readonly starter: ProcessIdentity | undefined;
  readonly supervisor: ProcessIdentity | undefined;
  /** The parent of the guest's first process, outside of its namespaces. */
  readonly launcher: ProcessIdentity | undefined;
  /** The guest's first process, as the machine numbers it; of a virtual machine: QEMU. */
  readonly init: ProcessIdentity | undefined;
  /** Further processes that exist for this guest alone. */
  readonly helpers: readonly ProcessIdentity[];
  readonly ready: boolean;
  /** Where a debugger reaches the daemon that is debugged; undefined when none is. */
  readonly debugUrl?: string;
  /** What the agent said when the network of a virtual machine was to be set up and its policy refused that. */
  readonly networkRefusal: string | undefined;
  /** The public part of the key by which the guest's TPM signs quotes: base64 of SPKI. Undefined where there is no TPM. */
  readonly attestationKey?: string;
  readonly log: string;
}

/** Makes the guest's folder with its first state. EEXIST when the id is taken. */
export function createState(layout: GuestLayout, state: GuestState, parent: string): void {
  mkdirSync(parent, { recursive: true, mode: 0o755 });
  mkdirSync(layout.folder, { mode: 0o700 });
  writeState(layout, state);
}

/** Replaces the state as a whole: whoever reads, reads the old or the new one. */
export function writeState(layout: GuestLayout, state: GuestState): void {
  const fresh = `${layout.state}.${process.pid}`;
  writeFileSync(fresh, `${JSON.stringify(state, undefined, 1)}\n`, { mode: 0o600 });
  renameSync(fresh, layout.state);
}

/** The state of a guest; undefined when there is none, or its file is damaged. */
export function readState(layout: GuestLayout): GuestState | undefined {
  let text: string;
  try {
    text = readFileSync(layout.state, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
  return parseState(layout.id, text);
}

export function parseState(id: string, text: string): GuestState | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const fields = value as Record<string, unknown>;
  const network = (fields["network"] ?? {}) as Record<string, unknown>;
  const { gateway, address, prefixLength } = network;
  if (fields["id"] !== id || typeof gateway !== "string" || typeof address !== "string") return undefined;
  return {
    id,
    kind: fields["kind"] === "qemu" ? "qemu" : "simulated",
    created: String(fields["created"]),
    network: { gateway, address, prefixLength: Number(prefixLength) },
    starter: parseIdentity(fields["starter"]),
    supervisor: parseIdentity(fields["supervisor"]),
    launcher: parseIdentity(fields["launcher"]),
    init: parseIdentity(fields["init"]),
    helpers: Array.isArray(fields["helpers"]) ? fields["helpers"].flatMap((value) => parseIdentity(value) ?? []) : [],
    ready: fields["ready"] === true,
    ...(typeof fields["debugUrl"] === "string" ? { debugUrl: fields["debugUrl"] } : {}),
    ...(typeof fields["attestationKey"] === "string" ? { attestationKey: fields["attestationKey"] } : {}),
    networkRefusal: typeof fields["networkRefusal"] === "string" ? fields["networkRefusal"] : undefined,
    log: String(fields["log"]),
  };
}

/** Ids of all guests that have a folder, oldest name first. */
export function guestIds(root: string): readonly string[] {
  try {
    return readdirSync(guestsFolder(root)).filter(isGuestId).sort();
  } catch (error) {
    if (hasCode(error, "ENOENT")) return [];
    throw error;
  }
}

/** True while somebody looks after the guest: its supervisor, or before that whoever starts it. */
export function isTended(state: GuestState | undefined): boolean {
  if (state === undefined) return false;
  return isAlive(state.supervisor) || (state.supervisor === undefined && isAlive(state.starter));
}

export function layoutsOf(root: string): readonly GuestLayout[] {
  return guestIds(root).map((id) => guestLayout(root, id));
}
