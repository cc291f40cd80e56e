import { AttestationAgentService, RuntimeMeasurementResult } from "@nacre/protocols";

import { parseAaelEvent } from "./aael-event.ts";
import type { Component } from "./component.ts";
import { RestError } from "./error.ts";
import { badRequest, failure, json, notFound, octets, type RestReply, type RestRequest } from "./reply.ts";

const { ExtendRuntimeMeasurement, GetAdditionalEvidence, GetEvidence, GetToken } = AttestationAgentService.methods;

/** With the blank that upstream's texts have. */
const RESULTS: Readonly<Record<number, string>> = {
  [RuntimeMeasurementResult.OK]: '{"success":"true"}',
  [RuntimeMeasurementResult.NOT_SUPPORTED]:
    '{"success":"false","message": "The platform does not support runtime measurement"}',
  [RuntimeMeasurementResult.NOT_ENABLED]:
    '{"success":"false","message": "Attestation Agent does not enable eventlog recording"}',
};
const UNKNOWN_RESULT = '{"success":"false","message": "Unknown runtime measurement result"}';

/** What lies below /aa. `path` is what follows that. */
export async function attestationReply(agent: Component, path: string, request: RestRequest): Promise<RestReply> {
  switch (`${request.method} ${path}`) {
    case "GET /token":
      return await token(agent, request);
    case "GET /evidence":
      return await evidence(agent, GetEvidence, request);
    case "GET /additional-evidence":
      return await evidence(agent, GetAdditionalEvidence, request);
    case "POST /aael":
      return await extend(agent, request);
    default:
      return notFound();
  }
}

async function token(agent: Component, { query, signal }: RestRequest): Promise<RestReply> {
  const type = last(query, "token_type");
  if (type === undefined) return badRequest();
  const { Token } = await agent.call(GetToken, { TokenType: type }, { signal, repeatable: true });
  return octets(Token);
}

async function evidence(
  agent: Component,
  method: typeof GetAdditionalEvidence | typeof GetEvidence,
  { query, signal }: RestRequest,
): Promise<RestReply> {
  const RuntimeData = runtimeData(last(query, "runtime_data"), last(query, "encoding"));
  if (RuntimeData === undefined) return badRequest();
  const { Evidence } = await agent.call(method, { RuntimeData }, { signal, repeatable: true });
  return octets(Evidence);
}

async function extend(agent: Component, request: RestRequest): Promise<RestReply> {
  let event;
  try {
    event = parseAaelEvent(await request.body());
  } catch (error) {
    if (error instanceof RestError && error.code === "request") return failure(500, error.message);
    throw error;
  }
  const { domain: Domain, operation: Operation, content: Content } = event;
  const { Result } = await agent.call(
    ExtendRuntimeMeasurement,
    { Domain, Operation, Content },
    // A register that is extended twice says that something happened twice.
    { signal: request.signal, repeatable: false },
  );
  return json(RESULTS[Result] ?? UNKNOWN_RESULT);
}

/** Of a name that is given twice the last one counts, as upstream's map has it. */
function last(query: URLSearchParams, name: string): string | undefined {
  return query.getAll(name).at(-1);
}

/** Bytes of the text, or what it encodes in base64url; undefined where it is neither. */
function runtimeData(text: string | undefined, encoding: string | undefined): Buffer | undefined {
  if (text === undefined) return undefined;
  if (encoding === undefined) return Buffer.from(text);
  if (encoding !== "base64") return undefined;
  const bytes = Buffer.from(text, "base64url");
  return bytes.toString("base64url") === text ? bytes : undefined;
}
