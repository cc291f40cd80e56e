import { type Fields, parseWrapType, type Wrapped } from "@nacre/ocicrypt";

import { HubError } from "../error.ts";
import { fieldsOf } from "./jws.ts";

export const SECRET_VERSION = "0.1.0";

/** How a KMS is found and asked; both objects are the provider's own. */
export interface ProviderPart {
  readonly provider: string;
  readonly settings: Fields;
  readonly annotations: Fields;
}

/** A secret that is in the text, encrypted with a key that a KMS encrypted. */
export interface EnvelopeSecret extends ProviderPart {
  readonly type: "envelope";
  readonly keyId: string;
  readonly encryptedKey: Buffer;
  readonly data: Wrapped;
}

/** A secret that a vault has under a name. */
export interface VaultSecret extends ProviderPart {
  readonly type: "vault";
  readonly name: string;
}

export type SealedSecret = EnvelopeSecret | VaultSecret;

/** Reads a payload. Settings and annotations must be there, as upstream's code has it. Throws HubError `malformed`. */
export function parseSealedSecret(payload: Uint8Array): SealedSecret {
  const secret = fieldsOf(Buffer.from(payload).toString(), "sealed secret");
  if (text(secret, "version") !== SECRET_VERSION) throw bad(`version ${SECRET_VERSION}`);
  const part: ProviderPart = {
    provider: text(secret, "provider"),
    settings: object(secret, "provider_settings"),
    annotations: object(secret, "annotations"),
  };
  switch (secret["type"]) {
    case "vault":
      return { type: "vault", name: text(secret, "name"), ...part };
    case "envelope":
      return {
        type: "envelope",
        keyId: text(secret, "key_id"),
        encryptedKey: base64(secret, "encrypted_key"),
        data: {
          type: wrapType(secret),
          iv: base64(secret, "iv"),
          data: base64(secret, "encrypted_data"),
        },
        ...part,
      };
    default:
      throw bad("the type envelope or vault");
  }
}

/** The payload as upstream's tool writes it. */
export function formatSealedSecret(secret: SealedSecret): string {
  const { provider, settings, annotations } = secret;
  const part = { provider, provider_settings: settings, annotations };
  if (secret.type === "vault") {
    return JSON.stringify({ version: SECRET_VERSION, type: "vault", name: secret.name, ...part });
  }
  const encoded = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
  return JSON.stringify({
    version: SECRET_VERSION,
    type: "envelope",
    key_id: secret.keyId,
    encrypted_key: encoded(secret.encryptedKey),
    encrypted_data: encoded(secret.data.data),
    wrap_type: secret.data.type,
    iv: encoded(secret.data.iv),
    ...part,
  });
}

function bad(expected: string): HubError {
  return new HubError("malformed", `sealed secret: expected ${expected}`);
}

function text(from: Fields, name: string): string {
  const value = from[name];
  if (typeof value !== "string") throw bad(`the text ${name}`);
  return value;
}

function object(from: Fields, name: string): Fields {
  const value = from[name];
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw bad(`the object ${name}`);
  return value as Fields;
}

function base64(from: Fields, name: string): Buffer {
  const value = text(from, name);
  const bytes = Buffer.from(value, "base64");
  if (bytes.toString("base64") !== value) throw bad(`base64 as ${name}`);
  return bytes;
}

function wrapType(from: Fields): Wrapped["type"] {
  try {
    return parseWrapType(from["wrap_type"]);
  } catch {
    throw bad("the wrap_type A256GCM or A256CTR");
  }
}
