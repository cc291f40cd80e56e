import {
  azureMetadata,
  type DetectPorts,
  type Fallbacks,
  sampleAttester,
  sampleDeviceAttester,
  systemDevices,
} from "@nacre/attesters";
import { nscqSwitches } from "@nacre/kata-sys-util/nscq";
import { nvmlGpus } from "@nacre/kata-sys-util/nvml";

import { EVENT_LOG_PATHS } from "./eventlog/event-log.ts";
import { joinedLog } from "./eventlog/joined.ts";
import type { Flavour } from "./flavour.ts";

declare const NACRE_FLAVOUR: Flavour | undefined;

/** The machine's devices. `AAEL_PATH` says where evidence finds the agent's log. */
export function systemPlatform(env: Readonly<Record<string, string | undefined>>): DetectPorts {
  return {
    devices: systemDevices(),
    env,
    eventLog: () => joinedLog(env["AAEL_PATH"] ?? EVENT_LOG_PATHS.log),
    metadata: azureMetadata,
    gpus: nvmlGpus(),
    switches: nscqSwitches(),
  };
}

/** What this flavour may fall back to: the strict one to nothing, and it does not even have the code. */
export function fallbacks(): Fallbacks {
  return typeof NACRE_FLAVOUR === "undefined" || NACRE_FLAVOUR !== "strict"
    ? { sample: sampleAttester, sampleDevice: sampleDeviceAttester, tpm: true }
    : { tpm: false };
}
