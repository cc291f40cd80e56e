import { OcicryptError } from "./error.ts";

/** Standard base64 with its padding and nothing else. Throws OcicryptError `message`. */
export function fromBase64(text: unknown, what: string): Buffer {
  const bytes = typeof text === "string" ? Buffer.from(text, "base64") : undefined;
  if (bytes === undefined || bytes.toString("base64") !== text) {
    throw new OcicryptError("message", `${what}: expected base64`);
  }
  return bytes;
}
