import { decode, encode, type status } from "@nacre/protocols";

import { RpcError, type StatusDetail } from "./error.ts";

const TYPE = "google.rpc.ErrorInfo";
const TYPE_URL = `type.googleapis.com/${TYPE}`;

/** The detail by which a program can tell failures apart that have one code and one text. */
export function errorInfo(domain: string, reason: string): StatusDetail {
  return { type_url: TYPE_URL, value: encode(TYPE, { domain, reason, metadata: {} }) };
}

/** The reason that a failed call's status has of that domain; undefined for any other error. */
export function reasonOf(error: unknown, domain: string): string | undefined {
  if (!(error instanceof RpcError)) return undefined;
  for (const { type_url: type, value } of error.details) {
    if (type !== TYPE_URL) continue;
    try {
      const info = decode(TYPE, value) as status.ErrorInfo;
      if (info.domain === domain) return info.reason;
    } catch {
      // A peer's detail that is none says nothing.
    }
  }
  return undefined;
}
