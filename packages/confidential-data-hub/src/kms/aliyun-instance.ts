import { createHash, type KeyObject, sign } from "node:crypto";

import type { Fields } from "@nacre/ocicrypt";

import { HubError } from "../error.ts";
import { readPkcs12 } from "./aliyun-pkcs12.ts";
import { secretSelector } from "./aliyun-secret.ts";
import { credentialFolder, credentialText, plainName, readCredential } from "./credential-files.ts";
import { jsonText } from "./json-text.ts";
import type { Encrypted, EncryptingKms } from "./kms.ts";
import type { KmsPorts } from "./ports.ts";
import { encodeFields, fieldOf } from "./protobuf.ts";

const API_VERSION = "dkms-gcs-0.2";
const SIGNATURE_METHOD = "RSA_PKCS1_SHA_256";
const PROTOBUF = "application/x-protobuf";

/** A KMS instance of Aliyun's, asked with a client key: protobuf, signed by RSA. */
export class AliyunInstanceKms implements EncryptingKms {
  readonly #instance: string;
  readonly #clientKey: string;
  readonly #ports: KmsPorts;

  /** Throws HubError `malformed`. */
  constructor(settings: Fields, ports: KmsPorts) {
    this.#instance = plainName(settings["kms_instance_id"], "provider_settings.kms_instance_id");
    this.#clientKey = plainName(settings["client_key_id"], "provider_settings.client_key_id");
    this.#ports = ports;
  }

  async decrypt(ciphertext: Uint8Array, keyId: string, annotations: Fields, signal: AbortSignal): Promise<Buffer> {
    const { iv } = annotations;
    const nonce = typeof iv === "string" ? Buffer.from(iv, "base64") : undefined;
    if (nonce === undefined || nonce.toString("base64") !== iv) {
      throw new HubError("malformed", "annotations.iv: expected base64");
    }
    const request = encodeFields([
      [1, ciphertext],
      [2, keyId],
      [3, "AES_GCM"],
      [5, nonce],
    ]);
    return this.#take(await this.#call("Decrypt", request, signal), 2, "Plaintext");
  }

  async encrypt(plaintext: Uint8Array, keyId: string, signal: AbortSignal): Promise<Encrypted> {
    const request = encodeFields([
      [1, keyId],
      [2, plaintext],
      [3, "AES_GCM"],
    ]);
    const reply = await this.#call("Encrypt", request, signal);
    const [ciphertext, iv] = [fieldOf(reply, 2), fieldOf(reply, 3)];
    if (ciphertext === undefined || iv === undefined) {
      throw new HubError("malformed", "Aliyun KMS: expected a reply with CiphertextBlob and Iv");
    }
    return { ciphertext, annotations: { iv: iv.toString("base64") } };
  }

  async secret(name: string, annotations: Fields, signal: AbortSignal): Promise<Buffer> {
    const { versionId, versionStage } = secretSelector(annotations);
    const request = encodeFields([
      [1, name],
      [2, versionStage],
      [3, versionId],
      [4, true],
    ]);
    return this.#take(await this.#call("GetSecretValue", request, signal), 3, "SecretData");
  }

  #take(reply: Buffer, field: number, name: string): Buffer {
    const bytes = fieldOf(reply, field);
    const out = bytes === undefined ? undefined : Buffer.from(bytes);
    reply.fill(0);
    if (out === undefined) throw new HubError("malformed", `Aliyun KMS: expected a reply with ${name}`);
    return out;
  }

  async #call(api: string, body: Buffer, signal: AbortSignal): Promise<Buffer> {
    const host = `${this.#instance}.cryptoservice.kms.aliyuncs.com`;
    const folder = credentialFolder("aliyun", this.#ports.env);
    const { id, key } = await this.#credential(folder);
    const kms = {
      "x-kms-acccesskeyid": id,
      "x-kms-apiname": api,
      "x-kms-apiversion": API_VERSION,
      "x-kms-signaturemethod": SIGNATURE_METHOD,
    };
    const date = this.#ports.now().toUTCString();
    const digest = createHash("sha256").update(body).digest("hex").toUpperCase();
    const canonical = Object.entries(kms).map(([name, value]) => `${name}:${value}\n`);
    const text = `POST\n${digest}\n${PROTOBUF}\n${date}\n${canonical.join("")}/`;
    const signature = sign("sha256", Buffer.from(text), key).toString("base64");
    const ca = (await readCredential(`${folder}/PrivateKmsCA_${this.#instance}.pem`)).toString();
    const reply = await this.#ports.http.send({
      method: "POST",
      url: `https://${host}/`,
      headers: {
        ...kms,
        accept: PROTOBUF,
        "content-type": PROTOBUF,
        "content-sha256": digest,
        date,
        authorization: `Bearer ${signature}`,
      },
      body,
      roots: [ca],
      signal,
    });
    if (reply.status !== 200) {
      // Field 2 is a name of the service's; its message may repeat the request.
      const code = /^[A-Za-z.]{1,64}$/u.exec(fieldOf(reply.body, 2)?.toString() ?? "")?.[0];
      const missing = code?.includes("NotFound") === true;
      const kind = missing ? "missing" : reply.status >= 500 ? "unreachable" : "denied";
      throw new HubError(kind, `Aliyun KMS: ${api}: ${reply.status}${code === undefined ? "" : ` ${code}`}`);
    }
    return reply.body;
  }

  async #credential(folder: string): Promise<{ readonly id: string; readonly key: KeyObject }> {
    const passwordJson = await readCredential(`${folder}/password_${this.#clientKey}.json`);
    const keyJson = await readCredential(`${folder}/clientKey_${this.#clientKey}.json`);
    // JSON, as the console gives it; upstream takes the whole file.
    const password = jsonText(passwordJson, ["ClientKeyPassword"]) ?? Buffer.from(passwordJson);
    const data = credentialText(keyJson, "PrivateKeyData");
    try {
      const id = credentialText(keyJson, "KeyId").toString();
      return { id, key: await readPkcs12(data, password) };
    } finally {
      for (const bytes of [passwordJson, keyJson, password, data]) bytes.fill(0);
    }
  }
}
