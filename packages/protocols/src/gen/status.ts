// Generated from protos/ by scripts/generate.ts (make generate). Do not edit.

/** `google.rpc.Detail` */
export interface Detail {
  type_url: string;
  value: Uint8Array;
}

/** `google.rpc.ErrorInfo` */
export interface ErrorInfo {
  reason: string;
  domain: string;
  metadata: Record<string, string>;
}

/** `google.rpc.Status` */
export interface Status {
  code: number;
  message: string;
  details: Detail[];
}
