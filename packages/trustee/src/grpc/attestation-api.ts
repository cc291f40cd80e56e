import { parseTee, type ReportHash } from "@nacre/kbs-protocol";
import { type appraisal, AttestationService as AsDefinition } from "@nacre/protocols";

import type { AttestationService, VerificationRequest } from "../attestation/attestation-service.ts";
import { errorText, TrusteeError } from "../error.ts";
import { decodeBase64, isFields } from "../fields.ts";
import { parseJson, parseJsonBytes } from "../json.ts";
import { served, type ServedMethod } from "./service-server.ts";

const MAX_EVIDENCE: number = 8 * 1024 * 1024;
const MAX_DATA: number = 1024 * 1024;
const HASHES: readonly ReportHash[] = ["sha256", "sha384", "sha512"];
const DEFAULT_POLICY = "default";

/** One piece of evidence as both ports have it: gRPC in a message, REST in JSON. */
export type EvidenceFields = {
  readonly [K in keyof appraisal.IndividualAttestationRequest]: appraisal.IndividualAttestationRequest[K];
};

/** Rejects with `request`. */
export function readEvidence(fields: EvidenceFields): VerificationRequest {
  const tee = parseTee(fields.tee);
  if (tee === undefined)
    throw new TrusteeError(
      "request",
      `parse TEE type: Unsupported TEE type: ${JSON.stringify(fields.tee.slice(0, 40))}`,
    );
  const bytes = (text: string, maximum: number, what: string): Buffer =>
    decodeBase64(text, maximum, () => what, "request");
  const {
    raw_runtime_data: raw,
    structured_runtime_data: structured,
    init_data_digest: digest,
    init_data_toml: toml,
  } = fields;
  const runtimeData = raw === null ? readStructured(structured) : bytes(raw, MAX_DATA, "raw runtime data");
  const initData = digest === null ? (toml ?? undefined) : bytes(digest, MAX_DATA, "init data digest");
  return {
    tee,
    evidence: parseJsonBytes(bytes(fields.evidence, MAX_EVIDENCE, "evidence"), "evidence", "request"),
    ...(runtimeData === undefined ? {} : { runtimeData }),
    ...(initData === undefined ? {} : { initData }),
    hash: readHash(fields.runtime_data_hash_algorithm),
  };
}

function readStructured(text: string | null): VerificationRequest["runtimeData"] {
  if (text === null) return undefined;
  const value = parseJson(text, "structured runtime data", "request");
  if (!isFields(value)) throw new TrusteeError("request", "structured runtime data: expected an object");
  return value;
}

function readHash(name: string): ReportHash {
  const hash = HASHES.find((one) => one === (name === "" ? "sha384" : name));
  if (hash === undefined) throw new TrusteeError("request", "parse runtime data HashAlgorithm failed");
  return hash;
}

/** Challenges are nothing but nonces, which the asker makes; Secure Execution alone has its own, and is not verified here. */
export function challengeFor(inner: Readonly<Record<string, string>>): string {
  const name = Object.hasOwn(inner, "tee") ? inner["tee"] : undefined;
  if (name === undefined) throw new TrusteeError("request", "Error parse inner_tee tee");
  if (!Object.hasOwn(inner, "tee_params")) throw new TrusteeError("request", "Error parse inner_tee tee_params");
  const tee = parseTee(name);
  if (tee === undefined) throw new TrusteeError("request", "Error parse TEE type");
  if (tee === "se") throw new TrusteeError("unsupported", "Challenge: evidence of se is not verified here");
  return "";
}

export function policyIds(ids: readonly string[]): readonly string[] {
  return ids.length === 0 ? [DEFAULT_POLICY] : ids;
}

/** The gRPC methods of an attestation service, with upstream's texts before the cause. */
export function attestationMethods(service: AttestationService): readonly ServedMethod[] {
  const { AttestationEvaluate, SetAttestationPolicy, GetAttestationChallenge } = AsDefinition.methods;
  return [
    served(AttestationEvaluate, async ({ verification_requests: requests, policy_ids: ids }) => {
      const read = requests.map(readEvidence);
      const { token } = await saying("Attestation evaluation failed: ", service.evaluate(read, policyIds(ids)));
      return { attestation_token: token };
    }),
    served(SetAttestationPolicy, async ({ policy_id: id, policy }) => {
      await saying("Set Attestation Policy Failed: ", service.setPolicy(id, policy));
      return {};
    }),
    served(GetAttestationChallenge, ({ inner }) => Promise.resolve({ attestation_challenge: challengeFor(inner) })),
  ];
}

export async function saying<T>(prefix: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    const code = cause instanceof TrusteeError ? cause.code : "request";
    throw new TrusteeError(code, `${prefix}${errorText(cause)}`);
  }
}
