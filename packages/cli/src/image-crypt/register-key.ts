import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";

import { parseResourceUri } from "@nacre/kbs-protocol";

import { NacreError } from "../error.ts";

const TIMEOUT_MS = 30_000;

/** The broker that guests get their keys of, and how it is administered. */
export interface KeyRegistry {
  readonly url: string;
  /** A token of its administrator's. */
  readonly token: string;
  /** PEM of what serves it; default: the machine's authorities. */
  readonly certificate?: string | undefined;
}

/** The flags of those that register keys. Throws NacreError `usage` or `input`. */
export function keyRegistry(flags: {
  readonly kbs: string | undefined;
  readonly "admin-token-file": string | undefined;
  readonly "kbs-cert": string | undefined;
}): KeyRegistry | undefined {
  const { kbs, "admin-token-file": tokenFile, "kbs-cert": certificate } = flags;
  if (kbs === undefined) return undefined;
  if (!URL.canParse(kbs) || tokenFile === undefined) {
    throw new NacreError("usage", "--kbs: expected a URL, and --admin-token-file (see nacre trustee token)");
  }
  try {
    return {
      url: kbs.replace(/\/+$/u, ""),
      token: readFileSync(tokenFile, "utf8").trim(),
      certificate: certificate === undefined ? undefined : readFileSync(certificate, "utf8"),
    };
  } catch (cause) {
    throw new NacreError("input", "the token's or the certificate's file cannot be read", { cause });
  }
}

/** Puts a key where guests find it. Rejects with NacreError `refused` or `environment`. */
export async function registerKey(registry: KeyRegistry, kid: string, key: Uint8Array): Promise<void> {
  const { plugin, path } = parseResourceUri(kid);
  const url = new URL(`${registry.url}/kbs/v0/${plugin}/${path}`);
  const options = {
    method: "POST",
    headers: { authorization: `Bearer ${registry.token}`, "content-type": "application/octet-stream" },
    signal: AbortSignal.timeout(TIMEOUT_MS),
    ...(registry.certificate === undefined ? {} : { ca: registry.certificate }),
  };
  let status: number | undefined;
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const send = url.protocol === "https:" ? httpsRequest : httpRequest;
      send(url, options).once("response", resolve).once("error", reject).end(Buffer.from(key));
    });
    response.resume();
    status = response.statusCode;
  } catch (cause) {
    throw new NacreError("environment", `the key broker at ${url.host} cannot be reached`, { cause });
  }
  if (status !== 200) throw new NacreError("refused", `the key broker refused the key ${kid}: ${String(status)}`);
}
