import { isIP } from "node:net";

import { NacreError } from "./error.ts";

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** HOST:PORT, an IPv6 address in brackets. Throws `usage`. */
export function parseListenAddress(text: string, flag: string): ListenAddress {
  const [, bracketed, plain, port = ""] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/u.exec(text) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) > 65_535)
    throw new NacreError("usage", `--${flag}: expected HOST:PORT, got ${JSON.stringify(text)}`);
  return { host, port: Number(port) };
}

/** Whether nobody but this machine reaches it. A name may lead anywhere, but for the one that is reserved. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}
