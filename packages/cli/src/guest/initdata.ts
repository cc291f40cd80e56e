import { writeFileSync } from "node:fs";

import { formatInitdata, InitdataKey, parseInitdata, writeInitdataImage } from "@nacre/kbs-protocol";

import { NacreError } from "../error.ts";

/** What a document is made from. */
export interface InitdataParts {
  readonly policy: string | undefined;
  /** The Confidential Data Hub's configuration. */
  readonly hubConfig: string;
}

/** A document by which a guest gets its policy and configuration; its digest is one that a TPM's registers take. */
export function initdataDocument({ policy, hubConfig }: InitdataParts): string {
  const data = new Map([[InitdataKey.DATA_HUB as string, hubConfig]]);
  if (policy !== undefined) data.set(InitdataKey.POLICY, policy);
  return formatInitdata({ algorithm: "sha256", data });
}

/** Writes a document as the block device that a guest looks for. The document's very bytes are what its digest is of. */
export async function writeInitdata(file: string, document: string | Uint8Array): Promise<void> {
  writeFileSync(file, await writeInitdataImage(Buffer.from(document)), { mode: 0o600 });
}

/** The hub's configuration in a document; undefined where it has none. Throws NacreError `input`. */
export function hubConfigIn(document: string | Uint8Array): string | undefined {
  try {
    return parseInitdata(Buffer.from(document)).data.get(InitdataKey.DATA_HUB);
  } catch (cause) {
    throw new NacreError("input", "the initdata document cannot be used", { cause });
  }
}
