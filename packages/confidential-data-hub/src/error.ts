/** A configuration that is malformed, or asks for what this daemon cannot do: it does not start then. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}
