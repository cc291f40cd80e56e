import type { ComponentLog } from "@nacre/protocols";
import { readFileSync } from "node:fs";

import type { Attester } from "@nacre/attesters";
import { initdataDigest, parseInitdata, type RequestInitdata } from "@nacre/kbs-protocol";

import { AgentError } from "./error.ts";
import type { AgentOptions } from "./options.ts";

/** Initdata as it was given: the digest to bind, and the document where it is known. */
export interface GivenInitdata {
  readonly digest: Buffer;
  readonly document: RequestInitdata | undefined;
}

/** The document, or else the digest, that the command line names. Throws AgentError `config`. */
export function readInitdata({ initdataToml, initdataDigest: text }: AgentOptions): GivenInitdata | undefined {
  if (initdataToml !== undefined) {
    let toml: Buffer;
    try {
      toml = readFileSync(initdataToml);
    } catch (cause) {
      throw new AgentError("config", "read initdata toml file", { cause });
    }
    const { algorithm } = parseInitdata(toml);
    const document = { format: "toml", body: toml.toString("utf8") };
    return { digest: initdataDigest(toml, algorithm), document };
  }
  if (text === undefined) return undefined;
  const digest = Buffer.from(text, "base64");
  if (digest.toString("base64") !== text || digest.length > 64) {
    throw new AgentError("config", "base64 decode initdata");
  }
  return { digest, document: undefined };
}

/**
 * Binds it. A platform that measured something else ends the agent, and so does one that has no place for it, but in a
 * simulated guest: what the host says must not pass for what the owner said. Rejects with AttesterError or AgentError.
 */
export async function bindGiven(
  given: GivenInitdata | undefined,
  attester: Attester,
  mayBeUnbound: boolean,
  log: ComponentLog,
): Promise<void> {
  if (given === undefined) return;
  const result = await attester.bindInitdata(given.digest);
  if (result === "bound") {
    log("info", "Check initdata passed.");
    return;
  }
  const what = `initdata: ${attester.tee} has no place for it`;
  if (!mayBeUnbound) throw new AgentError("platform", `${what}, and only a simulated guest goes on without`);
  log("warn", `UNBOUND ${what}. Platform does not support initdata checking. Jumping.`);
}
