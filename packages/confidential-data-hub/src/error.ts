/** A configuration that is malformed, or asks for what this daemon cannot do: it does not start then. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/**
 * What a call needs and does not have: a configuration (`config`), a connection to the attestation agent (`agent`), or
 * what that was to give (`attestation`).
 */
export type HubErrorCode = "agent" | "attestation" | "config";

export class HubError extends Error {
  override readonly name = "HubError";
  readonly code: HubErrorCode;

  constructor(code: HubErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
