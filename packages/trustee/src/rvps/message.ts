import { decodeBase64, FieldReader, type Fields, isFields } from "../fields.ts";
import { TrusteeError } from "../error.ts";
import { parseJson, parseJsonBytes } from "../json.ts";

export const MESSAGE_VERSION = "0.1.0";
/** Bytes of a payload; what `make rootfs` writes has a few KiB. */
export const MAX_PAYLOAD: number = 8 * 1024 * 1024;

/**
 * Reads a message of reference values: `version`, `type` and `payload`, which for the type `sample` is base64 of an
 * object from names to values of any kind. Throws `reference-value`.
 */
export function parseMessage(text: string): Fields {
  const reader = new FieldReader(
    parseJson(text, "reference value message", "reference-value"),
    "message",
    "reference-value",
  );
  const version = reader.text("version");
  if (version !== MESSAGE_VERSION)
    throw reader.error("version", `expected ${MESSAGE_VERSION}, got ${JSON.stringify(version.slice(0, 20))}`);
  const type = reader.text("type");
  if (type !== "sample") throw reader.error("type", `expected sample, got ${JSON.stringify(type.slice(0, 20))}`);
  const payload = decodeBase64(reader.text("payload"), MAX_PAYLOAD, () => "message.payload", "reference-value");
  const values = parseJsonBytes(payload, "message.payload", "reference-value");
  if (!isFields(values))
    throw new TrusteeError("reference-value", "message.payload: expected an object of names and values");
  return values;
}
