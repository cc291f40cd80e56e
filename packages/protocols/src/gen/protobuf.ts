// Generated from protos/ by scripts/generate.ts (make generate). Do not edit.

/** `google.protobuf.Empty` */
export interface Empty {
}
