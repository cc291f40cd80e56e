import { initdataDigest, KbsProtocolError, parseInitdata } from "@nacre/kbs-protocol";
import { parse } from "smol-toml";

import { TrusteeError } from "../error.ts";
import type { Fields } from "../fields.ts";
import { parseJson } from "../json.ts";

/** Initdata as evidence is compared with it, and as policies and tokens see it. */
export interface InitdataView {
  readonly digest: Buffer;
  readonly claims: Fields;
}

/** Files of initdata that are TOML themselves. */
const TOML_FILES: readonly string[] = ["aa.toml", "cdh.toml"];
const POLICY_FILE = "policy.rego";
const POLICY_DATA = /(?:^|\n)policy_data\s*:=\s*(\{[\s\S]*)$/u;

/** Reads a document; its digest is over its very bytes. Throws `request`. */
export function viewInitdata(toml: string): InitdataView {
  const bytes = Buffer.from(toml);
  try {
    const { algorithm, data } = parseInitdata(bytes);
    const claims = [...data].map(([name, text]): readonly [string, unknown] => {
      if (TOML_FILES.includes(name)) return [name, plain(parse(text))];
      const policyData = name === POLICY_FILE ? dataOfPolicy(text) : undefined;
      return policyData === undefined ? [name, text] : ["agent_policy_claims", policyData];
    });
    return { digest: initdataDigest(bytes, algorithm), claims: Object.fromEntries(claims) };
  } catch (cause) {
    if (cause instanceof TrusteeError) throw cause;
    // A parser's own message shows the text around the place.
    const why = cause instanceof KbsProtocolError ? cause.message : "a file of it is no TOML";
    throw new TrusteeError("request", `initdata: ${why}`);
  }
}

/** What a generated policy knows of its containers: an object that runs to the policy's end. */
function dataOfPolicy(rego: string): unknown {
  const text = POLICY_DATA.exec(rego)?.[1];
  if (text === undefined) return undefined;
  try {
    return parseJson(text, "policy_data", "request");
  } catch {
    return undefined;
  }
}

/** TOML's dates become texts, as in JSON. */
function plain(value: unknown): unknown {
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]));
}
