import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { AgentService } from "@nacre/protocols";
import { describe, expect, it } from "vitest";

import { PolicyError, policyInput, PULLED_IMAGE_RULE, REQUEST_RULES, ruleName } from "../src/index.ts";
import { engineWith } from "./policy-engine.ts";

const methods = Object.values(AgentService.methods);
const POLICIES = join(import.meta.dirname, "../../../guest-rootfs/policies");

async function verdicts(text: string): Promise<Readonly<Record<string, string>>> {
  const engine = await engineWith(text);
  const found: Record<string, string> = {};
  const ask = async (rule: string, input: string): Promise<void> => {
    try {
      found[rule] = (await engine.check(rule, input)).allowed ? "allowed" : "refused";
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      found[rule] = error.message;
    }
  };
  for (const method of methods) {
    await ask(ruleName(method), policyInput(method, method.decodeRequest(new Uint8Array())));
  }
  await ask(PULLED_IMAGE_RULE, "{}");
  return found;
}

describe("rules", () => {
  it("are 41 for 42 methods, two of which share a request, and the agent's own", () => {
    expect(methods).toHaveLength(42);
    expect(REQUEST_RULES).toHaveLength(42);
    expect(REQUEST_RULES).toContain("PulledImageRequest");
  });
});

describe("policies that images ship", () => {
  const shipped = (name: string): Promise<Readonly<Record<string, string>>> =>
    verdicts(readFileSync(join(POLICIES, `${name}.rego`), "utf8"));

  it("are three", () => {
    expect(readdirSync(POLICIES).toSorted()).toEqual(["allow-all-except-exec.rego", "allow-all.rego", "closed.rego"]);
  });

  it("allow-all allows every method", async () => {
    expect(new Set(Object.values(await shipped("allow-all")))).toEqual(new Set(["allowed"]));
  });

  it("allow-all-except-exec refuses ExecProcess alone", async () => {
    const found = await shipped("allow-all-except-exec");
    expect(Object.keys(found).filter((rule) => found[rule] !== "allowed")).toEqual(["ExecProcessRequest"]);
    expect(found["ExecProcessRequest"]).toBe("refused");
  });

  it("closed refuses every method, by a no and not for want of a rule", async () => {
    expect(new Set(Object.values(await shipped("closed")))).toEqual(new Set(["refused"]));
  });

  it.each(["allow-all", "allow-all-except-exec", "closed"])("%s lets no failing rule through", async (name) => {
    const engine = await engineWith(readFileSync(join(POLICIES, `${name}.rego`), "utf8"));
    expect(engine.allowRequestsFailingPolicy).toBe(false);
  });

  it("one that allows SetPolicy only has no answer for the rest, which is not a refusal", async () => {
    const found = await verdicts("package agent_policy\ndefault SetPolicyRequest := true\n");
    expect(found["SetPolicyRequest"]).toBe("allowed");
    const { SetPolicyRequest: _, ...rest } = found;
    expect(new Set(Object.values(rest))).toEqual(
      new Set(["policy check: unexpected eval_query result len QueryResults { result: [] }"]),
    );
  });
});
