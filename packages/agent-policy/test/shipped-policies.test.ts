import { AgentService } from "@nacre/protocols";
import { describe, expect, it } from "vitest";

import { PolicyError, policyInput } from "../src/index.ts";
import { engineWith } from "./policy-engine.ts";

const methods = Object.values(AgentService.methods);
const ruleOf = (requestType: string): string => requestType.slice("grpc.".length);
const RULES = [...new Set(methods.map(({ requestType }) => ruleOf(requestType)))];

/** Policies of the three kinds that images ship: data only, no rule has a body. */
const policy = (rules: Readonly<Record<string, boolean>>): string =>
  `package agent_policy\n\n${Object.entries(rules)
    .map(([rule, allowed]) => `default ${rule} := ${allowed}\n`)
    .join("")}`;
const all = Object.fromEntries(RULES.map((rule) => [rule, true]));

async function verdicts(text: string): Promise<Readonly<Record<string, string>>> {
  const engine = await engineWith(text);
  const found: Record<string, string> = {};
  for (const method of methods) {
    const rule = ruleOf(method.requestType);
    const input = policyInput(method, method.decodeRequest(new Uint8Array()));
    try {
      found[rule] = (await engine.check(rule, input)).allowed ? "allowed" : "refused";
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      found[rule] = error.message;
    }
  }
  return found;
}

describe("policies of the kinds that images ship", () => {
  it("has 42 methods, two of which share a request", () => {
    expect(methods).toHaveLength(42);
    expect(RULES).toHaveLength(41);
  });

  it("allow-all allows every method", async () => {
    expect(new Set(Object.values(await verdicts(policy(all))))).toEqual(new Set(["allowed"]));
  });

  it("allow-all-except-exec refuses ExecProcess alone", async () => {
    const found = await verdicts(policy({ ...all, ExecProcessRequest: false }));
    expect(Object.keys(found).filter((rule) => found[rule] !== "allowed")).toEqual(["ExecProcessRequest"]);
    expect(found["ExecProcessRequest"]).toBe("refused");
  });

  it("one that allows SetPolicy only has no answer for the rest, which is not a refusal", async () => {
    const found = await verdicts(policy({ SetPolicyRequest: true }));
    expect(found["SetPolicyRequest"]).toBe("allowed");
    const { SetPolicyRequest: _, ...rest } = found;
    expect(new Set(Object.values(rest))).toEqual(
      new Set(["policy check: unexpected eval_query result len QueryResults { result: [] }"]),
    );
  });
});
