import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";

import { linuxSyscalls, unmountTree } from "@nacre/kata-sys-util";

import { removeCgroups } from "./cgroups.ts";
import { type GuestLayout, stateRoot } from "./layout.ts";
import { disconnectGuest } from "./network.ts";
import { killProcess } from "./process-end.ts";
import { isTended, layoutsOf, readState } from "./state.ts";

/**
 * Removes everything of a guest that has a name on this machine, whatever is there of it. Can be repeated, and done by
 * two at once. The folder with the state goes last: until then the next command finds the rest.
 */
export async function removeGuest(layout: GuestLayout): Promise<void> {
  const state = readState(layout);
  // The first process takes its whole pid namespace with it, and that the mounts and the network.
  await killProcess(state?.init);
  await killProcess(state?.launcher);
  for (const helper of state?.helpers ?? []) await killProcess(helper);
  await removeCgroups(layout.cgroup);
  await disconnectGuest(layout.interface);
  if (existsSync(layout.folder)) await unmountTree(linuxSyscalls(), layout.folder);
  await rm(layout.folder, { recursive: true, force: true });
}

/** Removes guests that nobody looks after any more; resolves with their ids. */
export async function sweep(root: string = stateRoot()): Promise<readonly string[]> {
  const abandoned = layoutsOf(root).filter((layout) => !isTended(readState(layout)));
  for (const layout of abandoned) await removeGuest(layout);
  return abandoned.map(({ id }) => id);
}
