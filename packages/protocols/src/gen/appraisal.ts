// Generated from protos/ by scripts/generate.ts (make generate). Do not edit.

/** `attestation.AttestationRequest` */
export interface AttestationRequest {
  verification_requests: IndividualAttestationRequest[];
  policy_ids: string[];
}

/** `attestation.AttestationResponse` */
export interface AttestationResponse {
  attestation_token: string;
}

/** `attestation.ChallengeRequest` */
export interface ChallengeRequest {
  inner: Record<string, string>;
}

/** `attestation.ChallengeResponse` */
export interface ChallengeResponse {
  attestation_challenge: string;
}

/** `attestation.IndividualAttestationRequest` */
export interface IndividualAttestationRequest {
  tee: string;
  evidence: string;
  raw_runtime_data: string | null;
  structured_runtime_data: string | null;
  init_data_digest: string | null;
  init_data_toml: string | null;
  runtime_data_hash_algorithm: string;
}

/** `attestation.SetPolicyRequest` */
export interface SetPolicyRequest {
  policy_id: string;
  policy: string;
}

/** `attestation.SetPolicyResponse` */
export interface SetPolicyResponse {
}
