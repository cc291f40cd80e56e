import type { Tee } from "@nacre/kbs-protocol";

import type { Attester, DeviceAttester } from "./attester.ts";
import { azureAttester, detectAzure } from "./azure/attester.ts";
import type { Metadata } from "./azure/metadata.ts";
import { ccaAttester, detectCca } from "./cca.ts";
import type { Devices } from "./devices.ts";
import { AttesterError } from "./error.ts";
import type { EventLogReader } from "./event-log.ts";
import { type Gpus, nvidiaAttester, type Switches } from "./nvidia.ts";
import { detectSgx, sgxAttester } from "./sgx.ts";
import { detectSnp, snpAttester } from "./snp/attester.ts";
import { detectTdx, tdxAttester } from "./tdx/attester.ts";
import { tpmAttester, tpmDevice } from "./tpm/attester.ts";

export interface DetectPorts {
  readonly devices: Devices;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly eventLog: EventLogReader;
  readonly metadata: Metadata;
  readonly gpus: Gpus;
  readonly switches: Switches;
}

/** What a flavour's guests may fall back to where there is no hardware. */
export interface Fallbacks {
  /** Evidence of nothing. */
  readonly sample?: () => Attester;
  /** The same as a device, where the environment asks for it. */
  readonly sampleDevice?: () => DeviceAttester;
  /** A TPM that no hardware vouches for. */
  readonly tpm: boolean;
}

interface Platform {
  readonly tee: Tee;
  detect(ports: DetectPorts): Promise<boolean>;
  make(ports: DetectPorts): Attester;
}

const PLATFORMS: readonly Platform[] = [
  {
    tee: "tdx",
    detect: ({ devices }) => detectTdx(devices),
    make: ({ devices, eventLog }) => tdxAttester(devices, eventLog),
  },
  { tee: "sgx", detect: ({ devices }) => detectSgx(devices), make: ({ devices }) => sgxAttester(devices) },
  azure("az-tdx-vtpm"),
  azure("az-snp-vtpm"),
  { tee: "snp", detect: ({ devices }) => detectSnp(devices), make: ({ devices }) => snpAttester(devices) },
  foreign("csv", "/dev/csv-guest"),
  { tee: "cca", detect: ({ devices }) => detectCca(devices), make: ({ devices }) => ccaAttester(devices) },
  foreign("se", "/dev/uv"),
];

const TPM: Platform = {
  tee: "tpm",
  detect: ({ devices, env }) => Promise.resolve(tpmDevice(devices, env) !== undefined),
  make: ({ devices, env }) => tpmAttester(devices, tpmDevice(devices, env) ?? "/dev/tpm0", env),
};

/**
 * What the guest runs on, in upstream's order. With `pinned` it is that or nothing: another platform, or none, is
 * refused, so that a host cannot choose a weaker one by taking a device away. Rejects with AttesterError `unsupported`.
 */
export async function detectAttester(ports: DetectPorts, fallbacks: Fallbacks, pinned?: Tee): Promise<Attester> {
  if (pinned !== undefined && UNSUPPORTED[pinned] !== undefined) throw unsupported(pinned);
  if (pinned === "sample" && fallbacks.sample !== undefined) return fallbacks.sample();
  const candidates = [...PLATFORMS, ...(fallbacks.tpm ? [TPM] : [])];
  for (const platform of candidates) {
    if (pinned !== undefined && platform.tee !== pinned) continue;
    if (await platform.detect(ports)) return platform.make(ports);
  }
  if (pinned === undefined && fallbacks.sample !== undefined) return fallbacks.sample();
  const wanted = pinned ?? candidates.map(({ tee }) => tee).join(", ");
  throw new AttesterError("unsupported", `no TEE: expected ${wanted}, got none`);
}

/** What is attached to it, all that answer. Throws AttesterError `unsupported`. */
export function detectDevices(
  { gpus, switches, env, devices }: DetectPorts,
  { sampleDevice }: Pick<Fallbacks, "sampleDevice">,
): readonly DeviceAttester[] {
  if (devices.exists("/dev/mkfd")) throw unsupported("hygondcu");
  return [
    ...(gpus.confidential() > 0 || switches.trusted().length > 0 ? [nvidiaAttester(gpus, switches)] : []),
    ...(sampleDevice !== undefined && env["ENABLE_SAMPLE_DEVICE"] !== undefined ? [sampleDevice()] : []),
  ];
}

function azure(tee: "az-snp-vtpm" | "az-tdx-vtpm"): Platform {
  return {
    tee,
    detect: async ({ devices }) => (await detectAzure(devices)) === tee,
    make: ({ devices, metadata }) => azureAttester(devices, tee, metadata),
  };
}

/** A platform that is known and cannot be attested: its place in the order must not fall to a weaker one. */
function foreign(tee: Tee, device: string): Platform {
  return {
    tee,
    detect: ({ devices }) => Promise.resolve(devices.exists(device)),
    make: () => {
      throw unsupported(tee);
    },
  };
}

/** Why evidence of these cannot be made here. */
const UNSUPPORTED: Readonly<Partial<Record<Tee, string>>> = {
  se: "its evidence needs IBM's library",
  csv: "its evidence needs SM2, which Node does not have",
  hygondcu: "its evidence needs SM2, which Node does not have",
  "nvidia-dpu": "upstream's agent makes no evidence of it, either",
};

function unsupported(tee: Tee): AttesterError {
  return new AttesterError("unsupported", `${tee} is unsupported: ${UNSUPPORTED[tee] ?? "no evidence of it is made"}`);
}
