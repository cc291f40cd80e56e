// Generated from protos/ by scripts/generate.ts (make generate). Do not edit.

/** `reference.ReferenceValueQueryRequest` */
export interface ReferenceValueQueryRequest {
  reference_value_id: string;
}

/** `reference.ReferenceValueQueryResponse` */
export interface ReferenceValueQueryResponse {
  reference_value_results: string | null;
}

/** `reference.ReferenceValueRegisterRequest` */
export interface ReferenceValueRegisterRequest {
  message: string;
}

/** `reference.ReferenceValueRegisterResponse` */
export interface ReferenceValueRegisterResponse {
}
