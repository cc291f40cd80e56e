/** A configuration that is malformed, or asks for what this daemon cannot do: it does not start then. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/**
 * Why a call failed: no connection to the attestation agent (`agent`), or nothing from it (`attestation`); no
 * configuration for it (`config`); somebody refused it (`denied`), has none (`missing`) or was not reached
 * (`unreachable`); what was asked, or what was found, is not what it should be (`malformed`).
 */
export type HubErrorCode = "agent" | "attestation" | "config" | "denied" | "malformed" | "missing" | "unreachable";

/** Messages hold nothing of secrets, and nothing of what was decrypted or parsed. */
export class HubError extends Error {
  override readonly name = "HubError";
  readonly code: HubErrorCode;

  constructor(code: HubErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}
