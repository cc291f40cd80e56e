import { createHmac } from "node:crypto";

import type { Fields } from "@nacre/ocicrypt";

import { HubError } from "../error.ts";
import { base64Bytes } from "./base64-bytes.ts";
import { credentialFolder, credentialText, plainName, readCredential } from "./credential-files.ts";
import { jsonText } from "./json-text.ts";
import type { Encrypted, EncryptingKms } from "./kms.ts";
import type { KmsPorts } from "./ports.ts";

/** Intel's eHSM-KMS at the endpoint of the settings. */
export class EhsmKms implements EncryptingKms {
  readonly #app: string;
  readonly #endpoint: string;
  readonly #ports: KmsPorts;

  /** Throws HubError `malformed`. */
  constructor(settings: Fields, ports: KmsPorts) {
    this.#app = plainName(settings["app_id"], "provider_settings.app_id");
    const endpoint = settings["endpoint"];
    // The reply holds the key in the clear, and the network is the host's.
    if (typeof endpoint !== "string" || !URL.canParse(endpoint) || new URL(endpoint).protocol !== "https:") {
      throw new HubError("malformed", "provider_settings.endpoint: expected https://HOST[:PORT]");
    }
    this.#endpoint = endpoint.replace(/\/+$/u, "");
    this.#ports = ports;
  }

  /** The ciphertext is a text of eHSM's own. */
  async decrypt(ciphertext: Uint8Array, keyId: string, _: Fields, signal: AbortSignal): Promise<Buffer> {
    const payload = { ciphertext: Buffer.from(ciphertext).toString("latin1"), keyid: keyId };
    const base64 = await this.#call("Decrypt", payload, "plaintext", signal);
    try {
      return base64Bytes(base64, "eHSM: plaintext");
    } finally {
      base64.fill(0);
    }
  }

  async encrypt(plaintext: Uint8Array, keyId: string, signal: AbortSignal): Promise<Encrypted> {
    const payload = { keyid: keyId, plaintext: Buffer.from(plaintext).toString("base64") };
    return { ciphertext: await this.#call("Encrypt", payload, "ciphertext", signal), annotations: {} };
  }

  secret(): Promise<Buffer> {
    return Promise.reject(new HubError("malformed", "provider ehsm: it has no secrets by name"));
  }

  /** A text of the result. */
  async #call(action: string, payload: Members, result: string, signal: AbortSignal): Promise<Buffer> {
    const nonce = this.#ports.random(8).readBigUInt64LE().toString();
    const timestamp = String(this.#ports.now().getTime());
    const folder = credentialFolder("ehsm", this.#ports.env);
    const signed = { appid: this.#app, nonce, payload, timestamp };
    const body = { ...signed, sign: await this.#sign(folder, signed) };
    const { status, body: reply } = await this.#ports.http.send({
      method: "POST",
      url: `${this.#endpoint}/ehsm?Action=${action}`,
      headers: { "content-type": "application/json" },
      body: Buffer.from(JSON.stringify(body)),
      roots: await this.#roots(folder),
      signal,
    });
    const text = status === 200 ? jsonText(reply, ["result", result]) : undefined;
    reply.fill(0);
    if (text === undefined) throw new HubError(status >= 500 ? "unreachable" : "denied", `eHSM: ${action}: ${status}`);
    return text;
  }

  /** HMAC of the request's members by name, those of the payload in its place, as `name=value` without any encoding. */
  async #sign(folder: string, request: Members): Promise<string> {
    const text = pairs(request);
    const json = await readCredential(`${folder}/credential_${this.#app}.json`);
    let key: Buffer | undefined;
    try {
      key = credentialText(json, "ApiKey");
      return createHmac("sha256", key).update(text).digest("base64");
    } finally {
      json.fill(0);
      key?.fill(0);
    }
  }

  /** Such services often have a certificate of their own; it lies beside the credential. */
  async #roots(folder: string): Promise<readonly string[]> {
    try {
      return [(await readCredential(`${folder}/ca_${this.#app}.pem`)).toString()];
    } catch (error) {
      if (error instanceof HubError && error.code === "missing") return [];
      throw error;
    }
  }
}

interface Members {
  readonly [name: string]: Members | string;
}

function pairs(members: Members): string {
  return Object.keys(members)
    .toSorted()
    .map((name) => {
      const value = members[name] ?? "";
      return `${name}=${typeof value === "string" ? value.replaceAll('"', "") : pairs(value)}`;
    })
    .join("&");
}
