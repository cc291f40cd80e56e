import { ruleName } from "@nacre/agent-policy";
import { AgentService, JsonError, type MethodDescriptor, parseLossless, stringifyLossless } from "@nacre/protocols";

import { NacreError } from "./error.ts";

/** A request that was recorded, for a policy to be asked about. */
export interface RecordedRequest {
  readonly rule: string;
  /** File and line. */
  readonly where: string;
  /** JSON text. */
  readonly json: string;
  /** Whether `json` is the policy's input already, and not protobuf's JSON. */
  readonly raw: boolean;
}

type Line = Readonly<Record<string, unknown>>;

const METHODS: Readonly<Record<string, MethodDescriptor<unknown, unknown>>> = AgentService.methods;
/** How regorus's own recordings of real pods write a request. */
const ENTRY = /^\["ep":"(\w+)",(.*)\],?$/u;

/**
 * The requests of a recording, in order, one a line. A line is JSON with the method and its request as `body` or
 * `request` (`nacre trace`, and what runtimes are traced with), or with the rule and its input as `kind` and `request` (the
 * agent's own log of its policy), or regorus's `["ep":"RULE",INPUT],`. Calls of other services and lines without a request
 * are passed over. Throws NacreError `input`.
 */
export function readRequests(text: string, file: string): readonly RecordedRequest[] {
  return text.split("\n").flatMap((line, i) => {
    const where = `${file}:${i + 1}`;
    const trimmed = line.trim();
    const entry = ENTRY.exec(trimmed);
    if (entry !== null) return [{ rule: entry[1] ?? "", where, json: entry[2] ?? "", raw: true }];
    if (trimmed === "") return [];
    return requestOf(parseLine(trimmed, where), where);
  });
}

function parseLine(text: string, where: string): Line {
  try {
    const value = parseLossless(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Line;
  } catch (cause) {
    if (!(cause instanceof JsonError) && !(cause instanceof SyntaxError)) throw cause;
  }
  throw new NacreError("input", `${where}: expected a recorded request, a JSON object a line`);
}

function requestOf(line: Line, where: string): RecordedRequest[] {
  const { method, kind, service } = line;
  const request = line["body"] ?? line["request"];
  if (typeof request !== "object" || request === null) return [];
  if (typeof kind === "string") return [{ rule: kind, where, json: stringifyLossless(request), raw: true }];
  const known = typeof method === "string" ? METHODS[method] : undefined;
  if (known === undefined || (service ?? "grpc.AgentService") !== "grpc.AgentService") return [];
  return [{ rule: ruleName(known), where, json: stringifyLossless(request), raw: false }];
}
