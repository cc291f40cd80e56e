// Generated from protos/ by scripts/generate.ts (make generate). Do not edit.

/** `keyprovider.KeyProviderKeyWrapProtocolInput` */
export interface KeyProviderKeyWrapProtocolInput {
  KeyProviderKeyWrapProtocolInput: Uint8Array;
}

/** `keyprovider.KeyProviderKeyWrapProtocolOutput` */
export interface KeyProviderKeyWrapProtocolOutput {
  KeyProviderKeyWrapProtocolOutput: Uint8Array;
}
