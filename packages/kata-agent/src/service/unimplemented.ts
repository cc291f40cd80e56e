import type { AgentService } from "@nacre/protocols";

/**
 * Methods of `grpc.AgentService` without a handler, in one place. They are put to the policy as all others are, and
 * then answered UNIMPLEMENTED in the words of the real agent's one such method, ResizeVolume.
 */
export const UNIMPLEMENTED_METHODS: ReadonlyArray<keyof typeof AgentService.methods> = [
  "AddSwap",
  "AddSwapPath",
  "GetIPTables",
  "GetVolumeStats",
  "MemAgentCompactSet",
  "MemAgentMemcgSet",
  "MemHotplugByProbe",
  "OnlineCPUMem",
  "ReseedRandomDev",
  "ResizeVolume",
  "SetGuestDateTime",
  "SetIPTables",
  "UpdateEphemeralMounts",
];

/** `ResizeVolume` as `resize_volume`, `SetIPTables` as `set_ip_tables`: the names of upstream's handlers. */
export function handlerName(method: string): string {
  return method
    .replaceAll(/([a-z0-9])([A-Z])/g, "$1_$2")
    .replaceAll(/([A-Z]+)([A-Z][a-z])/g, "$1_$2")
    .toLowerCase();
}
