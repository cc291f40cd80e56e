import { randomBytes } from "node:crypto";

import { parseTee } from "@nacre/kbs-protocol";
import { AttestationAgentService, type Init, type MethodDescriptor, parseLossless } from "@nacre/protocols";
import { RpcError } from "@nacre/ttrpc";
import type { VerificationRequest } from "@nacre/trustee";

import { NacreError } from "../error.ts";
import { dialAgent } from "./guest-agent.ts";
import { isFields } from "./proof.ts";

/** A quote may take a second or two, and its enclave may have to be woken. */
const TIMEOUT_MS = 30_000;
/** As many bytes as a digest of SHA-384, which all platforms have room for. */
const NONCE_BYTES = 48;

const { GetAdditionalEvidence, GetEvidence, GetTeeType } = AttestationAgentService.methods;

/** Asks for evidence that holds a number made now. Throws NacreError `agent`. */
export async function askAgent(
  address: string,
  signal: AbortSignal,
  initData: string | undefined,
): Promise<readonly VerificationRequest[]> {
  const nonce = randomBytes(NONCE_BYTES);
  const client = await dialAgent(address, TIMEOUT_MS, signal);
  const call = async <Req, Res>(method: MethodDescriptor<Req, Res>, request: Init<Req>): Promise<Res> => {
    try {
      return await client.call(method, request, { timeoutMs: TIMEOUT_MS, signal });
    } catch (cause) {
      if (!(cause instanceof RpcError)) throw cause;
      throw new NacreError("agent", `attestation agent: ${cause.message}`, { cause });
    }
  };
  try {
    const { tee } = await call(GetTeeType, {});
    const primary = await call(GetEvidence, { RuntimeData: nonce });
    const requests = [
      { ...requestOf(tee, json(primary.Evidence), nonce), ...(initData === undefined ? {} : { initData }) },
    ];
    const { Evidence: more } = await call(GetAdditionalEvidence, { RuntimeData: nonce });
    const devices = more.length === 0 ? {} : json(more);
    if (!isFields(devices))
      throw new NacreError("agent", "attestation agent: expected devices' evidence by their names");
    return [...requests, ...Object.entries(devices).map(([name, evidence]) => requestOf(name, evidence, nonce))];
  } finally {
    client.close();
  }
}

export function requestOf(name: string, evidence: unknown, runtimeData: Buffer | undefined): VerificationRequest {
  const tee = parseTee(name);
  if (tee === undefined)
    throw new NacreError("input", `no kind of evidence is called ${JSON.stringify(name.slice(0, 40))}`);
  return { tee, evidence, ...(runtimeData === undefined ? {} : { runtimeData }) };
}

/** Throws NacreError `agent`. */
export function json(bytes: Uint8Array): unknown {
  try {
    return parseLossless(Buffer.from(bytes).toString());
  } catch (cause) {
    throw new NacreError("agent", "attestation agent: expected evidence in JSON", { cause });
  }
}
