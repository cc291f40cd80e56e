import { NvrcError } from "../error.ts";
import type { ExtensionDevice } from "./devices.ts";
import type { ExtensionPins } from "./pins.ts";
import { type VerityParams, verityParamsText } from "./verity-params.ts";

/** An extension that may be opened. */
export interface PlannedExtension {
  readonly name: string;
  /** Kernel names of the two partitions (section 1.6: 1 is data, 2 the hash tree). */
  readonly data: string;
  readonly hash: string;
  readonly params: VerityParams;
}

/**
 * Devices, parameters and pins must agree, one to one to one. The command line selects among what the base image pins:
 * whoever writes it cannot bring content of his own.
 */
export function planExtensions(
  devices: readonly ExtensionDevice[],
  requested: ReadonlyMap<string, VerityParams>,
  pins: ExtensionPins,
): readonly PlannedExtension[] {
  for (const name of requested.keys()) {
    const found = devices.filter((device) => device.name === name).map(({ disk }) => disk);
    if (found.length !== 1) {
      throw refusal(name, `expected one disk for its verity parameters, got ${found.join(" and ") || "none"}`);
    }
  }
  return devices.map(({ name, disk, partitions }) => {
    const params = requested.get(name);
    if (params === undefined) throw refusal(name, `expected verity parameters for ${disk}, got none`);
    const text = verityParamsText(params);
    if (!(pins.get(name) ?? []).some((pinned) => verityParamsText(pinned) === text)) {
      throw refusal(name, `expected a root hash that the base image pins, got ${params.rootHash}`);
    }
    const [data, hash] = [partitions.get(1), partitions.get(2)];
    if (data === undefined || hash === undefined) {
      throw refusal(name, `expected partitions 1 and 2 on ${disk}, got ${[...partitions.keys()].join(", ") || "none"}`);
    }
    return { name, data, hash, params };
  });
}

function refusal(name: string, message: string): NvrcError {
  return new NvrcError("extension", `extension ${name}: ${message}`);
}
