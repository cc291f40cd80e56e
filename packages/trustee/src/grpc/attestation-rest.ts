import { createHash } from "node:crypto";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";

import { stringifyLossless } from "@nacre/protocols";

import type { AttestationService } from "../attestation/attestation-service.ts";
import { errorText, TrusteeError } from "../error.ts";
import { FieldReader, isFields } from "../fields.ts";
import { readBody } from "../kbs/http-server.ts";
import { parseJsonBytes } from "../json.ts";
import { challengeFor, policyIds, readEvidence } from "./attestation-api.ts";

const MAX_BODY: number = 16 * 1024 * 1024;
const MAX_REQUESTS = 64;
const JWKS = "/.well-known/jwks.json";

interface Answer {
  readonly status: number;
  readonly type?: string;
  readonly body: string;
}

/** The REST port of an attestation service (spec trustee 2.1). Each failure is a 500, as with upstream. */
export function attestationRest(service: AttestationService, log: (line: string) => void): RequestListener {
  return (request, response) => void answer(service, log, request, response);
}

async function answer(
  service: AttestationService,
  log: (line: string) => void,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  let reply: Answer;
  const [path = ""] = (request.url ?? "").split("?", 1);
  try {
    // A browser says so, wherever the page came from: nobody's page is to set policies at this machine's own address.
    if (request.headers.origin !== undefined) throw new TrusteeError("request", "expected no request of a web page");
    const body = await readBody(request, MAX_BODY);
    reply =
      body === undefined
        ? { status: 413, body: "payload reached size limit" }
        : await route(service, `${request.method} ${path}`, body);
  } catch (error) {
    log(`${request.method} ${path}: ${errorText(error)}`);
    reply = { status: 500, body: `An internal error occured: ${errorText(error)}` };
  }
  const { status, type = "text/plain; charset=utf-8", body } = reply;
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) }).end(body);
}

async function route(service: AttestationService, call: string, body: Buffer): Promise<Answer> {
  switch (call) {
    case "POST /attestation":
      return { status: 200, body: await attest(service, body) };
    case "POST /policy": {
      const reader = read(body, "policy");
      await service.setPolicy(reader.text("policy_id"), reader.text("policy"));
      return { status: 200, body: "" };
    }
    case "GET /policy":
      return { status: 200, body: JSON.stringify(await policies(service)), type: "application/json" };
    case "POST /challenge": {
      const { fields } = read(body, "challenge");
      const texts = Object.entries(fields).filter((entry): entry is [string, string] => typeof entry[1] === "string");
      return { status: 200, body: challengeFor(Object.fromEntries(texts)) };
    }
    case `GET ${JWKS}`:
      return { status: 200, body: JSON.stringify({ keys: [service.signer.jwk] }), type: "application/json" };
    case "GET /healthz":
      return { status: 200, body: "" };
    default:
      return call.startsWith("GET /policy/")
        ? { status: 200, body: await onePolicy(service, call.slice("GET /policy/".length)) }
        : { status: 404, body: "" };
  }
}

async function attest(service: AttestationService, body: Buffer): Promise<string> {
  const reader = read(body, "attestation");
  const requests = reader.list("verification_requests", MAX_REQUESTS).map((entry) => {
    const one = new FieldReader(entry, "verification_requests", "request");
    const [runtime, init] = [one.get("runtime_data") ?? {}, one.get("init_data") ?? {}].map((part) => {
      if (!isFields(part) || Object.keys(part).length > 1)
        throw new TrusteeError("request", "verification_requests: expected one member in runtime_data and init_data");
      return new FieldReader(part, "verification_requests", "request");
    });
    const structured = runtime?.get("structured");
    return readEvidence({
      tee: one.text("tee"),
      evidence: one.text("evidence"),
      raw_runtime_data: runtime?.optionalText("raw") ?? null,
      structured_runtime_data: structured === undefined ? null : stringifyLossless(structured),
      init_data_digest: init?.optionalText("init_data_digest") ?? null,
      init_data_toml: init?.optionalText("init_data_toml") ?? null,
      runtime_data_hash_algorithm: one.optionalText("runtime_data_hash_algorithm") ?? "",
    });
  });
  const ids = reader.list("policy_ids", MAX_REQUESTS).map((id) => {
    if (typeof id !== "string") throw reader.error("policy_ids", "expected texts");
    return id;
  });
  return (await service.evaluate(requests, policyIds(ids))).token;
}

async function policies(service: AttestationService): Promise<readonly object[]> {
  return await Promise.all(
    (await service.policies()).map(async (id) => ({
      "policy-id": id,
      "policy-hash": createHash("sha384")
        .update((await service.policy(id)) ?? "")
        .digest("base64url"),
    })),
  );
}

async function onePolicy(service: AttestationService, id: string): Promise<string> {
  const text = await service.policy(id);
  if (text === undefined) throw new TrusteeError("request", "policy: there is none of this name");
  return text;
}

function read(body: Buffer, what: string): FieldReader {
  return new FieldReader(parseJsonBytes(body, what, "request"), what, "request");
}
