import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { type Decision, PolicyEngine, PolicyError, policyInput } from "@nacre/agent-policy";
import { fromJson, JsonError, messageTypes, parseLossless } from "@nacre/protocols";

import { NacreError } from "./error.ts";

/** The engine that guests have, with a policy in it. Throws NacreError `input` with the position of what is wrong. */
export async function loadPolicy(text: string, fileName: string): Promise<PolicyEngine> {
  const engine = await PolicyEngine.create({
    loadWasm: () => readFile(fileURLToPath(import.meta.resolve("regorus-wasm/regorus.wasm"))),
    prints: "always",
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
    return await engine.check(rule, inputText(rule, json, raw));
  } catch (cause) {
    if (!(cause instanceof PolicyError) && !(cause instanceof JsonError)) throw cause;
    throw new NacreError("input", `${rule}: ${cause.message}`, { cause });
  }
}

function inputText(rule: string, json: string, raw: boolean): string {
  const value = parseLossless(json);
  const requestType = `grpc.${rule}`;
  if (raw || !messageTypes().includes(requestType)) return json;
  return policyInput({ requestType }, fromJson(requestType, value));
}
