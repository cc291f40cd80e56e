// Generated from protos/ by scripts/generate.ts (make generate). Do not edit.

/** `attestation_agent.RuntimeMeasurementResult`: 0 OK, 1 NOT_SUPPORTED, 2 NOT_ENABLED; a number that is none of these is kept. */
export type RuntimeMeasurementResult = number;

/** `attestation_agent.BindInitDataRequest` */
export interface BindInitDataRequest {
  Digest: Uint8Array;
}

/** `attestation_agent.BindInitDataResponse` */
export interface BindInitDataResponse {
}

/** `attestation_agent.ExtendRuntimeMeasurementRequest` */
export interface ExtendRuntimeMeasurementRequest {
  Domain: string;
  Operation: string;
  Content: string;
  RegisterIndex: bigint | null;
}

/** `attestation_agent.ExtendRuntimeMeasurementResponse` */
export interface ExtendRuntimeMeasurementResponse {
  Result: RuntimeMeasurementResult;
}

/** `attestation_agent.GetAdditionalEvidenceRequest` */
export interface GetAdditionalEvidenceRequest {
  RuntimeData: Uint8Array;
}

/** `attestation_agent.GetAdditionalTeesRequest` */
export interface GetAdditionalTeesRequest {
}

/** `attestation_agent.GetAdditionalTeesResponse` */
export interface GetAdditionalTeesResponse {
  additional_tees: string[];
}

/** `attestation_agent.GetEvidenceRequest` */
export interface GetEvidenceRequest {
  RuntimeData: Uint8Array;
}

/** `attestation_agent.GetEvidenceResponse` */
export interface GetEvidenceResponse {
  Evidence: Uint8Array;
}

/** `attestation_agent.GetTeeTypeRequest` */
export interface GetTeeTypeRequest {
}

/** `attestation_agent.GetTeeTypeResponse` */
export interface GetTeeTypeResponse {
  tee: string;
}

/** `attestation_agent.GetTokenRequest` */
export interface GetTokenRequest {
  TokenType: string;
  fresh: boolean | null;
}

/** `attestation_agent.GetTokenResponse` */
export interface GetTokenResponse {
  Token: Uint8Array;
}
