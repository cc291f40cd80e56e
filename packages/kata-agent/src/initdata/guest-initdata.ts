import { mkdir, rm, writeFile } from "node:fs/promises";

import { type InitdataAlgorithm, initdataDigest, InitdataKey, parseInitdata } from "@nacre/kbs-protocol";

import type { Logger } from "../log.ts";
import type { BlockDevices } from "./block-devices.ts";
import { findInitdata, initdataError } from "./find-initdata.ts";

/** Where the parts of initdata lie for the guest components (section 5). */
export const INITDATA_FOLDER = "/run/confidential-containers/initdata";

/** What initdata gave. Paths are of files that are written. */
export interface GuestInitdata {
  readonly device: string;
  readonly algorithm: InitdataAlgorithm;
  /** Hexadecimal. */
  readonly digest: string;
  /** The whole document. */
  readonly document: string;
  readonly attestationConfig: string | undefined;
  readonly hubConfig: string | undefined;
  /** Rego text. It is not written. */
  readonly policy: string | undefined;
}

/**
 * Reads initdata from its device and writes its parts for the components; undefined where there is no such device, and
 * then nothing is there for them, either. Throws INTERNAL.
 */
export async function loadInitdata(
  devices: BlockDevices,
  log: Logger,
  folder: string = INITDATA_FOLDER,
): Promise<GuestInitdata | undefined> {
  // What lies there came from somewhere else.
  await rm(folder, { recursive: true, force: true });
  const found = await findInitdata(devices, log);
  if (found === undefined) return undefined;
  const { device, toml } = found;
  const { algorithm, data } = parsed(device, toml);
  const digest = initdataDigest(toml, algorithm).toString("hex");
  log.info("initdata", { device, algorithm, digest, keys: [...data.keys()] });

  await mkdir(folder, { recursive: true, mode: 0o700 });
  const write = async (name: string, content: string | Uint8Array | undefined): Promise<string | undefined> => {
    if (content === undefined) return undefined;
    await writeFile(`${folder}/${name}`, content, { mode: 0o600, flag: "wx" });
    return `${folder}/${name}`;
  };
  const document = `${folder}/initdata.toml`;
  await write("initdata.toml", toml);
  return {
    device,
    algorithm,
    digest,
    document,
    attestationConfig: await write("aa.toml", data.get(InitdataKey.ATTESTATION_AGENT)),
    hubConfig: await write("cdh.toml", data.get(InitdataKey.DATA_HUB)),
    policy: data.get(InitdataKey.POLICY),
  };
}

function parsed(device: string, toml: Buffer): ReturnType<typeof parseInitdata> {
  try {
    return parseInitdata(toml);
  } catch (error) {
    throw initdataError(device, error);
  }
}
