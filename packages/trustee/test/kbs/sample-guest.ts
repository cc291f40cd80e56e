import { generateKeyPairSync, type KeyObject } from "node:crypto";

import { reportData } from "@nacre/kbs-protocol";

import type { Answer, TestTrustee } from "./test-trustee.ts";

/** A guest with sample evidence and a key of its own. */
export interface SampleGuest {
  readonly privateKey: KeyObject;
  readonly publicKey: Readonly<Record<string, unknown>>;
  /** The body of its attestation for a nonce; `change` alters it before it is written. `devices`: what is bound of those. */
  attestation(nonce: string, change?: (body: AttestBody) => void, devices?: string): string;
}

export interface AttestBody {
  "init-data": unknown;
  "runtime-data": Record<string, unknown>;
  "tee-evidence": Record<string, unknown>;
}

export function sampleGuest(): SampleGuest {
  const { privateKey, publicKey: key } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { crv, kty, x, y } = key.export({ format: "jwk" });
  const publicKey = { alg: "ECDH-ES+A256KW", crv, kty, x, y };
  return {
    privateKey,
    publicKey,
    attestation: (nonce, change, devices = "") => {
      const digest = reportData({ "additional-evidence": devices, nonce, "tee-pubkey": publicKey }, "sha384");
      const body: AttestBody = {
        "init-data": null,
        "runtime-data": { nonce, "tee-pubkey": publicKey },
        "tee-evidence": {
          primary_evidence: { svn: "1", report_data: digest.toString("base64") },
          additional_evidence: "",
        },
      };
      change?.(body);
      return JSON.stringify(body);
    },
  };
}

/** Begins a handshake; resolves with the cookie and the nonce. */
export async function begin(
  broker: Pick<TestTrustee, "call">,
  tee = "sample",
): Promise<{ readonly cookie: string; readonly nonce: string }> {
  const auth = await broker.call(
    "POST",
    "/kbs/v0/auth",
    {},
    JSON.stringify({ version: "0.4.0", tee, "extra-params": "" }),
  );
  if (auth.status !== 200) throw new Error(`auth: ${auth.status} ${auth.body}`);
  const [cookie = ""] = (auth.headers["set-cookie"] ?? "").split(";");
  return { cookie, nonce: (JSON.parse(auth.body) as { nonce: string }).nonce };
}

/** A whole handshake; resolves with the reply to the attestation and the cookie. */
export async function attest(
  broker: Pick<TestTrustee, "call">,
  guest: SampleGuest = sampleGuest(),
  change?: (body: AttestBody) => void,
): Promise<{ readonly answer: Answer; readonly cookie: string }> {
  const { cookie, nonce } = await begin(broker);
  const answer = await broker.call("POST", "/kbs/v0/attest", { cookie }, guest.attestation(nonce, change));
  return { answer, cookie };
}
