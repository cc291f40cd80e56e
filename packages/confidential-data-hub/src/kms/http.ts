import type { IncomingMessage } from "node:http";

import { HubError } from "../error.ts";

// An import statement would load all of undici with them.
const https = process.getBuiltinModule("node:https");
const http = process.getBuiltinModule("node:http");

const TIMEOUT_MS = 60_000;
/** Of a reply: secrets have at most 64 KiB everywhere, and their descriptions some. */
const MAX_REPLY: number = 1024 * 1024;

export interface KmsRequest {
  readonly method: "GET" | "POST";
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** PEM of authorities that count beside the platform's. */
  readonly roots?: readonly string[];
  readonly signal: AbortSignal;
}

/** Its bytes are the receiver's to zero. */
export interface KmsReply {
  readonly status: number;
  readonly body: Buffer;
}

/** The network of KMS clients. Rejects with HubError `unreachable`, or the signal's reason. */
export interface KmsHttp {
  send(request: KmsRequest): Promise<KmsReply>;
}

/** Each request has a connection of its own: they are rare. */
export const nodeKmsHttp: KmsHttp = {
  async send({ method, url, headers, body, roots = [], signal }) {
    const to = new URL(url);
    const limit = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
    const ca =
      roots.length === 0
        ? {}
        : { ca: [...process.getBuiltinModule("node:tls").getCACertificates("default"), ...roots] };
    const how = { method, headers: { ...headers }, signal: limit, agent: false };
    try {
      const response = await new Promise<IncomingMessage>((resolve, reject) => {
        const outgoing =
          to.protocol === "https:"
            ? https.request(to, { ...how, ...ca, minVersion: "TLSv1.2" as const })
            : http.request(to, how);
        outgoing.once("response", resolve).once("error", reject).end(body);
      });
      return { status: response.statusCode ?? 0, body: await read(response) };
    } catch (cause) {
      signal.throwIfAborted();
      if (cause instanceof HubError) throw cause;
      throw new HubError("unreachable", `${method} ${to.protocol}//${to.host}: no reply`, { cause });
    }
  },
};

async function read(response: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  try {
    for await (const part of response) {
      parts.push(part as Buffer);
      length += (part as Buffer).length;
      if (length > MAX_REPLY) throw new HubError("malformed", `KMS: expected a reply of at most ${MAX_REPLY} bytes`);
    }
    return Buffer.concat(parts, length);
  } finally {
    for (const part of parts) part.fill(0);
  }
}
