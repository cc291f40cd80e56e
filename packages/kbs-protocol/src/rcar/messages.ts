import { KbsProtocolError } from "../error.ts";
import { parseStrictJson } from "../strict-json.ts";
import { DEFAULT_REPORT_HASH, REPORT_HASHES, type ReportHash, type RuntimeData } from "./report-data.ts";
import { parseTee, type Tee } from "./tee.ts";
import { parseTeePublicKey } from "./tee-public-key.ts";

/** A broker takes this version and no other. */
export const RCAR_VERSION = "0.4.0";
export const KBS_PREFIX = "/kbs/v0";
export const SESSION_COOKIE = "kbs-session-id";

/** Characters of a challenge; its nonce has 44, but for SE a document. */
export const MAX_CHALLENGE: number = 64 * 1024;
/** Characters of the reply with the token; one that repeats an event log has hundreds of thousands. */
export const MAX_TOKEN_REPLY: number = 3 * 1024 * 1024;

/** `POST auth`: what a guest begins with. */
export interface AuthRequest {
  /** Texts of other versions are for the broker to refuse. */
  readonly version: string;
  readonly tee: Tee;
  readonly "extra-params": unknown;
}

/** The answer to it. */
export interface Challenge {
  readonly nonce: string;
  /** The empty text, or an object that selects the digest. */
  readonly "extra-params": unknown;
}

/** `POST attest`. */
export interface AttestRequest {
  readonly "init-data": RequestInitdata | null;
  readonly "runtime-data": RuntimeData;
  readonly "tee-evidence": TeeEvidence;
}

export interface RequestInitdata {
  readonly format: string;
  readonly body: string;
}

export interface TeeEvidence {
  /** Of the machine itself; its form is the platform's. */
  readonly primary_evidence: unknown;
  /** JSON of a map from names of devices to their evidence; the empty text where there is none. */
  readonly additional_evidence: string;
}

export function formatAuthRequest(tee: Tee): string {
  return JSON.stringify({
    version: RCAR_VERSION,
    tee,
    "extra-params": { "supported-hash-algorithms": REPORT_HASHES },
  });
}

/** Throws KbsProtocolError `json` or `message`. */
export function parseAuthRequest(text: string): AuthRequest {
  const { version, tee, ...rest } = object(parseStrictJson(text, "auth request"), "auth request");
  if (typeof version !== "string" || typeof tee !== "string") throw bad("auth request", "the texts version and tee");
  const known = parseTee(tee);
  if (known === undefined) throw bad("auth request", "a tee that there is");
  if (!Object.hasOwn(rest, "extra-params")) throw bad("auth request", "extra-params");
  return { version, tee: known, "extra-params": rest["extra-params"] };
}

/** Throws KbsProtocolError `json`, `message` or `too-long`. */
export function parseChallenge(text: string): Challenge {
  checkLength("challenge", text, MAX_CHALLENGE);
  const { nonce, "extra-params": extra } = object(parseStrictJson(text, "challenge"), "challenge");
  if (typeof nonce !== "string" || nonce === "") throw bad("challenge", "the text nonce");
  return { nonce, "extra-params": extra };
}

/** The digest that a broker chose. Throws KbsProtocolError `message` for one that was not offered. */
export function selectedHash({ "extra-params": extra }: Challenge): ReportHash {
  if (typeof extra !== "object" || extra === null) return DEFAULT_REPORT_HASH;
  const selected = (extra as Record<string, unknown>)["selected-hash-algorithm"];
  if (selected === undefined) return DEFAULT_REPORT_HASH;
  const known = REPORT_HASHES.find((name) => typeof selected === "string" && name === selected.toLowerCase());
  if (known === undefined) throw bad("challenge", `one of ${REPORT_HASHES.join(", ")} as selected-hash-algorithm`);
  return known;
}

/**
 * The request as text. Evidence comes as the text that the platform's code wrote: numbers beyond 2^53 in it stay what
 * they are.
 */
export function formatAttestRequest(
  request: Pick<AttestRequest, "init-data" | "runtime-data"> & {
    readonly primaryEvidence: string;
    readonly additionalEvidence: string;
  },
): string {
  const initdata = JSON.stringify(request["init-data"]);
  const runtime = JSON.stringify(request["runtime-data"]);
  const additional = JSON.stringify(request.additionalEvidence);
  const evidence = `{"primary_evidence":${request.primaryEvidence},"additional_evidence":${additional}}`;
  return `{"init-data":${initdata},"runtime-data":${runtime},"tee-evidence":${evidence}}`;
}

/** Integers of the evidence keep their exact value, beyond 2^53 as bigint. Throws KbsProtocolError `json` or `message`. */
export function parseAttestRequest(text: string): AttestRequest {
  const what = "attest request";
  const request = object(parseStrictJson(text, what), what);
  const runtime = object(request["runtime-data"], `${what}'s runtime-data`);
  const evidence = object(request["tee-evidence"], `${what}'s tee-evidence`);
  const nonce = runtime["nonce"];
  const additional = evidence["additional_evidence"];
  if (typeof nonce !== "string") throw bad(what, "the text nonce");
  if (typeof additional !== "string") throw bad(what, "the text additional_evidence");
  if (!Object.hasOwn(evidence, "primary_evidence")) throw bad(what, "primary_evidence");
  return {
    "init-data": requestInitdata(request["init-data"]),
    "runtime-data": { nonce, "tee-pubkey": parseTeePublicKey(runtime["tee-pubkey"]) },
    "tee-evidence": { primary_evidence: evidence["primary_evidence"], additional_evidence: additional },
  };
}

function requestInitdata(value: unknown): RequestInitdata | null {
  if (value === undefined || value === null) return null;
  const { format, body } = object(value, "attest request's init-data");
  if (typeof format !== "string" || typeof body !== "string") {
    throw bad("attest request's init-data", "the texts format and body");
  }
  return { format, body };
}

/** The token of an attest reply. Throws KbsProtocolError `json`, `message` or `too-long`. */
export function parseTokenReply(text: string): string {
  checkLength("attest reply", text, MAX_TOKEN_REPLY);
  const { token } = object(parseStrictJson(text, "attest reply"), "attest reply");
  if (typeof token !== "string" || token === "") throw bad("attest reply", "the text token");
  return token;
}

/** The map of devices' evidence as it is hashed and sent; the empty text where there is none. */
export function formatAdditionalEvidence(evidence: ReadonlyMap<string, string>): string {
  if (evidence.size === 0) return "";
  return `{${[...evidence].map(([tee, text]) => `${JSON.stringify(tee)}:${text}`).join(",")}}`;
}

function object(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw bad(what, "an object");
  return value as Record<string, unknown>;
}

function checkLength(what: string, text: string, max: number): void {
  if (text.length <= max) return;
  throw new KbsProtocolError("too-long", `${what}: expected at most ${max} characters, got ${text.length}`);
}

function bad(what: string, expected: string): KbsProtocolError {
  return new KbsProtocolError("message", `${what}: expected ${expected}`);
}
