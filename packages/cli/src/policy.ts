import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { about, type Decision, PolicyEngine, PolicyError, policyInput } from "@nacre/agent-policy";
import { fromJson, JsonError, messageTypes, parseLossless } from "@nacre/protocols";

import { NacreError } from "./error.ts";
import type { RecordedRequest } from "./policy-requests.ts";

/** The engine that guests have, with a policy in it. Throws NacreError `input` with the position of what is wrong. */
export async function loadPolicy(text: string, fileName: string): Promise<PolicyEngine> {
  const engine = await PolicyEngine.create({
    loadWasm: () => readFile(fileURLToPath(import.meta.resolve("regorus-wasm/regorus.wasm"))),
    prints: "always",
    explain: true,
  });
  try {
    await engine.setPolicy(text, fileName);
  } catch (cause) {
    if (!(cause instanceof PolicyError)) throw cause;
    throw new NacreError("input", cause.message.trim(), { cause });
  }
  return engine;
}

/**
 * Puts a request to a rule. `json` is the request in protobuf's JSON, for rules that have the name of a message; for any
 * other, or with `raw`, it is the input itself. Throws NacreError `input`.
 */
export async function askPolicy(engine: PolicyEngine, rule: string, json: string, raw: boolean): Promise<Decision> {
  try {
    return await ask(engine, rule, json, raw);
  } catch (cause) {
    if (!(cause instanceof PolicyError) && !(cause instanceof JsonError)) throw cause;
    throw new NacreError("input", `${rule}: ${cause.message}`, { cause });
  }
}

/** What a policy said to a recorded request. */
export interface Verdict {
  readonly rule: string;
  /** Which request of the recording. */
  readonly where: string;
  readonly verdict: "allowed" | "refused" | "no answer";
  /** Why not, in a line. */
  readonly why: string;
}

/** Puts recorded requests to a policy in their order, so that each finds the state that those before it left. */
export async function askRecorded(engine: PolicyEngine, requests: readonly RecordedRequest[]): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  for (const { rule, where, json, raw } of requests) {
    try {
      const { allowed, explanation, prints } = await ask(engine, rule, json, raw);
      const step = explanation?.steps.at(-1);
      const failed = step === undefined ? prints.join(" ") : `line ${step.line}: ${step.text}`;
      verdicts.push({ rule, where, verdict: allowed ? "allowed" : "refused", why: allowed ? "" : failed });
    } catch (cause) {
      if (cause instanceof JsonError) throw new NacreError("input", `${where}: ${cause.message}`, { cause });
      if (!(cause instanceof PolicyError)) throw cause;
      const [line = ""] = cause.message.trim().split("\n");
      verdicts.push({ rule, where, verdict: "no answer", why: line });
    }
  }
  return verdicts;
}

/** Asks as the agent does, which takes a container that is gone out of the policy's state. */
async function ask(engine: PolicyEngine, rule: string, json: string, raw: boolean): Promise<Decision> {
  const value = parseLossless(json);
  const requestType = `grpc.${rule}`;
  const isMessage = !raw && messageTypes().includes(requestType);
  const request: object = isMessage ? fromJson(requestType, value) : Object(value);
  const whose = about(rule, request);
  const decision = await engine.check(rule, isMessage ? policyInput({ requestType }, request) : json, whose);
  const { container } = whose;
  if (decision.allowed && rule === "RemoveContainerRequest" && container !== undefined) await engine.forget(container);
  return decision;
}
