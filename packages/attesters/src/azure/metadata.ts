import { AttesterError } from "../error.ts";

/** The port to Azure's metadata service at its link-local address. */
export interface Metadata {
  /** The body of a reply that is 200. Rejects with AttesterError `device`. */
  request(method: "GET" | "POST", path: string, body?: string): Promise<string>;
}

const ADDRESS = { host: "169.254.169.254", port: 80 } as const;
const TIMEOUT_MS = 10_000;
const MAX_BODY = 256 * 1024;

/** The service itself; nothing that it says is trusted, evidence is verified elsewhere. */
export const azureMetadata: Metadata = {
  request: async (method, path, body) => {
    const { request } = process.getBuiltinModule("node:http");
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const bytes = body === undefined ? undefined : Buffer.from(body);
    const headers = {
      metadata: "true",
      ...(bytes === undefined ? {} : { "content-type": "application/json", "content-length": bytes.length }),
    };
    const outgoing = request(
      { ...ADDRESS, method, path, headers, signal: AbortSignal.timeout(TIMEOUT_MS) },
      (response) => {
        const parts: Buffer[] = [];
        let length = 0;
        response.on("data", (part: Buffer) => {
          length += part.length;
          if (length > MAX_BODY) response.destroy(new Error(`expected at most ${MAX_BODY} bytes`));
          else parts.push(part);
        });
        response.on("error", reject);
        response.on("end", () => {
          if (response.statusCode === 200) resolve(Buffer.concat(parts).toString("utf8"));
          else reject(new Error(`expected 200, got ${String(response.statusCode)}`));
        });
      },
    );
    outgoing.on("error", reject);
    outgoing.end(bytes);
    return await promise.catch((cause: unknown) => {
      throw new AttesterError("device", `Azure: ${method} ${path}: ${(cause as Error).message}`, { cause });
    });
  },
};

/** The chip's certificate in DER. */
export async function azureVcek(metadata: Metadata): Promise<Buffer> {
  const text = await metadata.request("GET", "/metadata/THIM/amd/certification");
  const pem = member(text, "vcekCert");
  const base64 = /-----BEGIN CERTIFICATE-----([\s\S]+?)-----END CERTIFICATE-----/u.exec(pem)?.[1];
  if (base64 === undefined) throw new AttesterError("malformed", "Azure: expected a certificate as vcekCert");
  return Buffer.from(base64.replaceAll(/\s/gu, ""), "base64");
}

/** A quote of a report of the TDX module. */
export async function azureTdQuote(metadata: Metadata, report: Uint8Array): Promise<Buffer> {
  const body = JSON.stringify({ report: Buffer.from(report).toString("base64url") });
  return Buffer.from(member(await metadata.request("POST", "/acc/tdquote", body), "quote"), "base64url");
}

function member(text: string, name: string): string {
  let value: unknown;
  try {
    value = (JSON.parse(text) as Record<string, unknown> | null)?.[name];
  } catch {
    value = undefined;
  }
  if (typeof value !== "string") throw new AttesterError("malformed", `Azure: expected JSON with the text ${name}`);
  return value;
}
