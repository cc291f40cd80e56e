import { KbsProtocolError } from "../error.ts";
import { Cookies } from "./cookies.ts";
import {
  formatAdditionalEvidence,
  formatAttestRequest,
  formatAuthRequest,
  KBS_PREFIX,
  MAX_CHALLENGE,
  MAX_TOKEN_REPLY,
  parseChallenge,
  parseTokenReply,
  type RequestInitdata,
  selectedHash,
  SESSION_COOKIE,
} from "./messages.ts";
import type { EvidenceSource, KbsHttp } from "./ports.ts";
import { bodyOf } from "./reply.ts";
import { deviceRuntimeData, primaryRuntimeData, reportData } from "./report-data.ts";
import type { TeeKey } from "./tee-key.ts";

const JSON_HEADERS = { "content-type": "application/json" } as const;
/** How upstream's client calls itself. */
export const USER_AGENT = "attestation-agent-kbs-client/0.1.0";

export interface HandshakeOptions {
  /** Of the broker, such as `https://kbs.example:8080`. */
  readonly url: string;
  readonly http: KbsHttp;
  readonly evidence: EvidenceSource;
  readonly key: TeeKey;
  readonly initdata: RequestInitdata | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a handshake gave: a token that says what was proven, and the session in which it was. */
export interface Attested {
  readonly token: string;
  readonly key: TeeKey;
  readonly cookies: Cookies;
}

/**
 * One handshake: request, challenge, attestation, response. Evidence of devices is bound to the nonce and the key, the
 * machine's own to those and to the devices' evidence. Rejects with KbsProtocolError, or what the source of evidence or
 * the signal rejects with.
 */
export async function handshake(options: HandshakeOptions): Promise<Attested> {
  const { evidence, initdata, key, signal } = options;
  const cookies = new Cookies();
  const post = async (path: string, body: string, maxBody: number): Promise<string> => {
    const reply = await options.http.send({
      method: "POST",
      url: `${baseUrl(options.url)}${KBS_PREFIX}/${path}`,
      headers: { ...JSON_HEADERS, "user-agent": USER_AGENT, ...cookies.headers },
      body,
      maxBody,
      signal,
    });
    cookies.take(reply.cookies);
    return bodyOf(reply, path);
  };

  const challenge = parseChallenge(await post("auth", formatAuthRequest(evidence.tee()), MAX_CHALLENGE));
  if (!cookies.has(SESSION_COOKIE)) throw new KbsProtocolError("peer", `auth: expected the cookie ${SESSION_COOKIE}`);
  const hash = selectedHash(challenge);
  const runtime = { nonce: challenge.nonce, "tee-pubkey": key.publicKey };

  const devices = await evidence.additionalEvidence(reportData(deviceRuntimeData(runtime), hash), signal);
  const additionalEvidence = formatAdditionalEvidence(devices);
  const primaryEvidence = await evidence.evidence(
    reportData(primaryRuntimeData(runtime, additionalEvidence), hash),
    signal,
  );
  const request = formatAttestRequest({
    "init-data": initdata ?? null,
    "runtime-data": runtime,
    primaryEvidence,
    additionalEvidence,
  });
  return { token: parseTokenReply(await post("attest", request, MAX_TOKEN_REPLY)), key, cookies };
}

/** Without a slash at its end. */
export function baseUrl(url: string): string {
  return url.replace(/\/+$/u, "");
}
