import { createHmac } from "node:crypto";

import type { Fields } from "@nacre/ocicrypt";

import { HubError } from "../error.ts";
import { secretSelector } from "./aliyun-secret.ts";
import { credentialFolder, credentialPath, credentialText, plainName, readCredential } from "./credential-files.ts";
import { jsonText } from "./json-text.ts";
import type { Kms } from "./kms.ts";
import type { KmsPorts } from "./ports.ts";

/** Where a machine of Aliyun's asks for the keys of its role. */
const METADATA = "http://100.100.100.200/latest/meta-data/ram/security-credentials/";
const API_VERSION = "2016-01-20";
const COLON = 0x3a;

/** Temporary keys of an account. */
interface StsKeys {
  readonly accessKeyId: string;
  readonly secret: Buffer;
  readonly token: string;
}

/** The region's own KMS of Aliyun's, asked with temporary keys: it has secrets, and decrypts nothing (as upstream). */
export class AliyunAccountKms implements Kms {
  readonly #region: () => Promise<string>;
  readonly #keys: (signal: AbortSignal) => Promise<StsKeys>;
  readonly #ports: KmsPorts;

  private constructor(ports: KmsPorts, region: () => Promise<string>, keys: (signal: AbortSignal) => Promise<StsKeys>) {
    this.#ports = ports;
    this.#region = region;
    this.#keys = keys;
  }

  /** With the role of this machine, which a credential names. */
  static ofRole(ports: KmsPorts): AliyunAccountKms {
    const path = `${credentialFolder("aliyun", ports.env)}/ecsRamRole.json`;
    const named = async (name: string): Promise<string> => {
      const json = await readCredential(path);
      return plainName(jsonText(json, [name])?.toString(), name);
    };
    return new AliyunAccountKms(
      ports,
      () => named("region_id"),
      async (signal) => await roleKeys(ports, await named("ecs_ram_role_name"), signal),
    );
  }

  /** With keys in a file, `ID:SECRET:TOKEN`, that the settings name. Throws HubError `malformed`. */
  static ofToken(settings: Fields, ports: KmsPorts): AliyunAccountKms {
    const region = plainName(settings["region_id"], "provider_settings.region_id");
    const path = credentialPath(settings["token_path"], credentialFolder("aliyun", ports.env));
    return new AliyunAccountKms(
      ports,
      () => Promise.resolve(region),
      () => fileKeys(path),
    );
  }

  decrypt(): Promise<Buffer> {
    return Promise.reject(new HubError("malformed", "provider aliyun: only a client key decrypts"));
  }

  async secret(name: string, annotations: Fields, signal: AbortSignal): Promise<Buffer> {
    const { versionId, versionStage } = secretSelector(annotations);
    const region = await this.#region();
    const keys = await this.#keys(signal);
    let query: string;
    try {
      query = this.#signed(keys, {
        SecretName: name,
        VersionStage: versionStage,
        VersionId: versionId,
        FetchExtendedConfig: "true",
        RegionId: region,
      });
    } finally {
      keys.secret.fill(0);
    }
    const { status, body } = await this.#ports.http.send({
      method: "POST",
      url: `https://kms.${region}.aliyuncs.com/?${query}`,
      headers: { "x-acs-version": API_VERSION, "x-acs-action": "GetSecretValue" },
      signal,
    });
    const secret = status === 200 ? jsonText(body, ["SecretData"]) : undefined;
    if (secret === undefined) throw refusal(status, body);
    body.fill(0);
    return secret;
  }

  /** The query with its signature: HMAC-SHA-1 of the method and the parameters by name, encoded twice. */
  #signed(keys: StsKeys, request: Readonly<Record<string, string>>): string {
    const parameters: Record<string, string> = {
      ...request,
      Action: "GetSecretValue",
      Version: API_VERSION,
      Format: "json",
      Timestamp: this.#ports
        .now()
        .toISOString()
        .replace(/\.\d{3}/u, ""),
      SignatureMethod: "HMAC-SHA1",
      SignatureType: "",
      SignatureVersion: "1.0",
      SignatureNonce: this.#ports.random(16).toString("hex"),
      AccessKeyId: keys.accessKeyId,
      SecurityToken: keys.token,
    };
    const pair = (name: string): string => `${encode(name)}=${encode(parameters[name] ?? "")}`;
    const canonical = Object.keys(parameters).toSorted().map(pair).join("&");
    const key = Buffer.concat([keys.secret, Buffer.from("&")]);
    const signature = createHmac("sha1", key)
      .update(`POST&%2F&${encode(canonical)}`)
      .digest("base64");
    key.fill(0);
    return `${canonical}&Signature=${encode(signature)}`;
  }
}

function refusal(status: number, body: Buffer): HubError {
  const code = /^[A-Za-z.]{1,64}$/u.exec(jsonText(body, ["Code"])?.toString() ?? "")?.[0];
  body.fill(0);
  if (status === 200) return new HubError("malformed", "Aliyun KMS: expected a reply with SecretData");
  const kind = code?.includes("NotFound") === true ? "missing" : status >= 500 ? "unreachable" : "denied";
  return new HubError(kind, `Aliyun KMS: GetSecretValue: ${status}${code === undefined ? "" : ` ${code}`}`);
}

/** RFC 3986: all but letters, digits and `-_.~`. */
function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/gu,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

async function roleKeys(ports: KmsPorts, role: string, signal: AbortSignal): Promise<StsKeys> {
  const { status, body } = await ports.http.send({ method: "GET", url: `${METADATA}${role}`, headers: {}, signal });
  try {
    if (status !== 200) throw new HubError("denied", `Aliyun metadata: keys of the role: ${status}`);
    return {
      accessKeyId: credentialText(body, "AccessKeyId").toString(),
      secret: credentialText(body, "AccessKeySecret"),
      token: credentialText(body, "SecurityToken").toString(),
    };
  } finally {
    body.fill(0);
  }
}

async function fileKeys(path: string): Promise<StsKeys> {
  const bytes = await readCredential(path);
  try {
    const first = bytes.indexOf(COLON);
    const second = bytes.indexOf(COLON, first + 1);
    if (first < 0 || second < 0 || bytes.includes(COLON, second + 1)) {
      throw new HubError("malformed", "Aliyun credential: expected ID:SECRET:TOKEN");
    }
    return {
      accessKeyId: bytes.subarray(0, first).toString(),
      secret: Buffer.from(bytes.subarray(first + 1, second)),
      token: bytes
        .subarray(second + 1)
        .toString()
        .trimEnd(),
    };
  } finally {
    bytes.fill(0);
  }
}
