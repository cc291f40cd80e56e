export { describeError, NacreError, type NacreErrorCode } from "./error.ts";
export { sweep } from "./guest/cleanup.ts";
export { findGuest, type Guest, listGuests, stopGuest } from "./guest/guest.ts";
export type { RegistryRule } from "./guest/hub-config.ts";
export type { ExtraFile, StartGuestOptions } from "./guest/options.ts";
export { startGuest } from "./guest/start.ts";
export type { GuestNetwork } from "./guest/state.ts";
