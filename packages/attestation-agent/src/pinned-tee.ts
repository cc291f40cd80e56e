import { readFileSync } from "node:fs";

import { parseTee, type Tee } from "@nacre/kbs-protocol";

import { AgentError } from "./error.ts";

/** A file of the measured root by which an image says on what alone it runs. */
export const PINNED_TEE = "/etc/attestation-agent/tee";

/** Undefined where the image does not say. Throws AgentError `config`. */
export function pinnedTee(path: string = PINNED_TEE): Tee | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8").trim();
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new AgentError("config", `read ${path}`, { cause });
  }
  const tee = parseTee(text);
  if (tee === undefined) throw new AgentError("config", `${path}: expected the name of a TEE`);
  return tee;
}
