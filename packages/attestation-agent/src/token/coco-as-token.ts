import type { EvidenceSource, KbsHttp } from "@nacre/kbs-protocol";

import { AgentError } from "../error.ts";

const MAX_TOKEN: number = 3 * 1024 * 1024;
const DEADLINE_MS = 60_000;

/**
 * A token of the attestation service itself, over evidence with empty report data: nothing in it is fresh, and it is bound
 * to no key. What the service answers is handed on as it is. Rejects with AgentError `request` or KbsProtocolError.
 */
export async function cocoAsToken(url: string, evidence: EvidenceSource, http: KbsHttp): Promise<Buffer> {
  const text = await evidence.evidence(Buffer.alloc(0));
  const reply = await http.send({
    method: "POST",
    url: `${url.replace(/\/+$/u, "")}/attestation`,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      verification_requests: [{ tee: evidence.tee(), evidence: Buffer.from(text).toString("base64url") }],
      policy_ids: [],
    }),
    maxBody: MAX_TOKEN,
    signal: AbortSignal.timeout(DEADLINE_MS),
  });
  if (reply.status !== 200) {
    throw new AgentError("request", `attestation service: expected 200, got ${reply.status}`);
  }
  return Buffer.from(reply.body);
}
