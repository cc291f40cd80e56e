import { randomBytes } from "node:crypto";

import { parseTee } from "@nacre/kbs-protocol";
import { AttestationAgentService, type Init, type MethodDescriptor, parseLossless } from "@nacre/protocols";
import { RpcError, TtrpcClient } from "@nacre/ttrpc";
import type { VerificationRequest } from "@nacre/trustee";
import { dial } from "@nacre/vsock";

import { NacreError } from "../error.ts";
import type { Guest } from "../guest/guest.ts";
import { isFields } from "./proof.ts";

const SOCKET = "/run/confidential-containers/attestation-agent/attestation-agent.sock";
/** A quote may take a second or two, and its enclave may have to be woken. */
const TIMEOUT_MS = 30_000;
/** As many bytes as a digest of SHA-384, which all platforms have room for. */
const NONCE_BYTES = 48;

const { GetAdditionalEvidence, GetEvidence, GetTeeType } = AttestationAgentService.methods;

/** Where a guest's attestation agent listens, as this machine reaches it. Throws `usage` for a virtual machine. */
export function agentOfGuest(guest: Guest): string {
  if (guest.kind === "simulated") return `unix:///proc/${guest.initPid}/root${SOCKET}`;
  throw new NacreError(
    "usage",
    `guest ${guest.id} is a virtual machine: its attestation agent is not reached from here; take its token or evidence from a file`,
  );
}

/** Asks for evidence that holds a number made now. Throws NacreError `agent`. */
export async function askAgent(
  address: string,
  signal: AbortSignal,
  initData: string | undefined,
): Promise<readonly VerificationRequest[]> {
  const nonce = randomBytes(NONCE_BYTES);
  let client: TtrpcClient;
  try {
    client = new TtrpcClient(await dial(address, { timeoutMs: TIMEOUT_MS, signal }));
  } catch (cause) {
    throw new NacreError("agent", `the attestation agent at ${address} cannot be reached`, { cause });
  }
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
