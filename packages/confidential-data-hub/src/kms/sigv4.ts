import { createHash, createHmac } from "node:crypto";

/** Long-lived or temporary keys of an account; the secret one in bytes. */
export interface AwsKeys {
  readonly accessKeyId: string;
  readonly secretAccessKey: Uint8Array;
  readonly sessionToken?: string | undefined;
}

export interface SignedRequest {
  readonly method: string;
  readonly host: string;
  readonly path: string;
  /** By lower-case names, without host, date and token. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  readonly service: string;
  readonly region: string;
  readonly now: Date;
}

const ALGORITHM = "AWS4-HMAC-SHA256";

/** The headers of a request, with what Signature Version 4 adds to them. A query is not part of any request here. */
export function signV4(request: SignedRequest, keys: AwsKeys): Record<string, string> {
  const time = request.now.toISOString().replaceAll(/[-:]|\.\d{3}/gu, "");
  const day = time.slice(0, 8);
  const headers: Record<string, string> = {
    ...request.headers,
    host: request.host,
    "x-amz-date": time,
    ...(keys.sessionToken === undefined ? {} : { "x-amz-security-token": keys.sessionToken }),
  };
  const names = Object.keys(headers).toSorted();
  const signedHeaders = names.join(";");
  const canonical = [
    request.method,
    request.path,
    "",
    ...names.map((name) => `${name}:${(headers[name] ?? "").trim().replaceAll(/ +/gu, " ")}`),
    "",
    signedHeaders,
    sha256(request.body),
  ].join("\n");
  const scope = `${day}/${request.region}/${request.service}/aws4_request`;
  const text = [ALGORITHM, time, scope, sha256(Buffer.from(canonical))].join("\n");
  const signature = hmac(signingKey(keys, day, request), text).toString("hex");
  const authorization = `${ALGORITHM} Credential=${keys.accessKeyId}/${scope}, SignedHeaders=${signedHeaders}, Signature=${signature}`;
  return { ...headers, authorization };
}

function signingKey({ secretAccessKey }: AwsKeys, day: string, { region, service }: SignedRequest): Buffer {
  const first = Buffer.concat([Buffer.from("AWS4"), secretAccessKey]);
  let key: Buffer = first;
  for (const part of [day, region, service, "aws4_request"]) {
    const next = hmac(key, part);
    key.fill(0);
    key = next;
  }
  return key;
}

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
