import type { Fields } from "@nacre/ocicrypt";

import { HubError } from "../error.ts";
import { base64Bytes } from "./base64-bytes.ts";
import { credentialFolder, credentialText, plainName, readCredential } from "./credential-files.ts";
import { jsonText } from "./json-text.ts";
import type { Encrypted, EncryptingKms } from "./kms.ts";
import type { KmsPorts } from "./ports.ts";
import { type AwsKeys, signV4 } from "./sigv4.ts";

/** AWS KMS for keys, Secrets Manager for secrets, both in the region of the settings. */
export class AwsKms implements EncryptingKms {
  readonly #region: string;
  readonly #ports: KmsPorts;

  /** Throws HubError `malformed`. */
  constructor(settings: Fields, ports: KmsPorts) {
    this.#region = plainName(settings["region"], "provider_settings.region");
    this.#ports = ports;
  }

  async decrypt(ciphertext: Uint8Array, keyId: string, annotations: Fields, signal: AbortSignal): Promise<Buffer> {
    const context = encryptionContext(annotations["encryption_context"]);
    const reply = await this.#call(
      "kms",
      "TrentService.Decrypt",
      {
        CiphertextBlob: Buffer.from(ciphertext).toString("base64"),
        KeyId: keyId,
        ...(context === undefined ? {} : { EncryptionContext: context }),
      },
      signal,
    );
    return this.#take(reply, "Plaintext", true);
  }

  async encrypt(plaintext: Uint8Array, keyId: string, signal: AbortSignal): Promise<Encrypted> {
    const request = { KeyId: keyId, Plaintext: Buffer.from(plaintext).toString("base64") };
    const reply = await this.#call("kms", "TrentService.Encrypt", request, signal);
    return { ciphertext: this.#take(reply, "CiphertextBlob", true), annotations: {} };
  }

  async secret(name: string, annotations: Fields, signal: AbortSignal): Promise<Buffer> {
    const id = text(annotations, "version_id");
    const stage = text(annotations, "version_stage");
    const request = {
      SecretId: name,
      ...(id === "" ? {} : { VersionId: id }),
      ...(stage === "" ? {} : { VersionStage: stage }),
    };
    const reply = await this.#call("secretsmanager", "secretsmanager.GetSecretValue", request, signal);
    return this.#take(reply, "SecretString", false);
  }

  /** The text of a reply, or for secrets that are none, the bytes. */
  #take(reply: Buffer, name: string, encoded: boolean): Buffer {
    const binary = encoded ? name : "SecretBinary";
    const plain = encoded ? undefined : jsonText(reply, [name]);
    if (plain !== undefined) {
      reply.fill(0);
      return plain;
    }
    const base64 = jsonText(reply, [binary]);
    reply.fill(0);
    if (base64 === undefined) throw new HubError("malformed", `AWS: expected a reply with ${name}`);
    try {
      return base64Bytes(base64, `AWS: ${binary}`);
    } finally {
      base64.fill(0);
    }
  }

  async #call(service: string, target: string, request: object, signal: AbortSignal): Promise<Buffer> {
    const host = `${service}.${this.#region}.amazonaws.com`;
    const body = Buffer.from(JSON.stringify(request));
    const keys = await this.#keys();
    let headers: Record<string, string>;
    try {
      headers = signV4(
        {
          method: "POST",
          host,
          path: "/",
          headers: { "content-type": "application/x-amz-json-1.1", "x-amz-target": target },
          body,
          service,
          region: this.#region,
          now: this.#ports.now(),
        },
        keys,
      );
    } finally {
      keys.secretAccessKey.fill(0);
    }
    const reply = await this.#ports.http.send({ method: "POST", url: `https://${host}/`, headers, body, signal });
    if (reply.status !== 200) throw refusal(reply.status, reply.body, target);
    return reply.body;
  }

  async #keys(): Promise<AwsKeys> {
    const json = await readCredential(`${credentialFolder("aws", this.#ports.env)}/credential.json`);
    try {
      const token = jsonText(json, ["session_token"]);
      return {
        accessKeyId: credentialText(json, "access_key_id").toString(),
        secretAccessKey: credentialText(json, "secret_access_key"),
        sessionToken: token?.toString(),
      };
    } finally {
      json.fill(0);
    }
  }
}

const MISSING: readonly string[] = ["NotFoundException", "ResourceNotFoundException"];

/** By the error's name, which comes as `NAME` or `NAMESPACE#NAME`; what it says may repeat the request. */
function refusal(status: number, body: Buffer, target: string): HubError {
  const name = /[A-Za-z]{1,64}$/u.exec(jsonText(body, ["__type"])?.toString() ?? "")?.[0];
  const said = name === undefined ? "" : ` ${name}`;
  if (name !== undefined && MISSING.includes(name)) return new HubError("missing", `AWS: ${target}: ${status}${said}`);
  return new HubError(status >= 500 ? "unreachable" : "denied", `AWS: ${target}: ${status}${said}`);
}

function encryptionContext(value: unknown): Readonly<Record<string, string>> | undefined {
  if (value === undefined) return undefined;
  const entries = typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
  const texts = entries.every((entry): entry is [string, string] => typeof entry[1] === "string");
  if (typeof value !== "object" || value === null || Array.isArray(value) || !texts) {
    throw new HubError("malformed", "annotations.encryption_context: expected texts by name");
  }
  return entries.length === 0 ? undefined : (value as Record<string, string>);
}

function text(annotations: Fields, name: string): string {
  const value = annotations[name] ?? "";
  if (typeof value !== "string") throw new HubError("malformed", `annotations.${name}: expected a text`);
  return value;
}
