import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { PolicyEngine, PolicyError, policyInput } from "@nacre/agent-policy";
import { AgentService, fromJson, type MethodDescriptor } from "@nacre/protocols";
import { jsonLines, vectors } from "../setup/data.ts";

/** A call to the real agent and what came back. */
interface Row {
  readonly id: string;
  readonly section: string;
  readonly policy: string;
  readonly method: string;
  readonly request?: Readonly<Record<string, unknown>>;
  readonly reply?: object;
  readonly code?: number;
  readonly message?: string;
}

const PACKAGE = "package agent_policy\n\ndefault SetPolicyRequest := true\n\n";
const OWN: readonly Row[] = [
  { id: "own/set", section: "own", policy: "allow-all", method: "SetPolicy", reply: {}, request: { policy: PACKAGE } },
  {
    id: "own/undefined",
    section: "own",
    policy: "own/set",
    method: "GetGuestDetails",
    request: {},
    code: 13,
    message:
      '"GuestDetailsRequest: internal error policy check: unexpected eval_query result len QueryResults { result: [] }"',
  },
];

/** What ours answers otherwise, on purpose. */
const DIFFERENCES: readonly { readonly id: RegExp; readonly ours: RegExp; readonly why: string }[] = [
  {
    id: /^policy3\/fail-open-false-details$/,
    ours: /is blocked by policy: /,
    why: "AllowRequestsFailingPolicy is for rules without an answer; a rule that says no has answered",
  },
  {
    id: /^setpolicy-wrong-package\/set$/,
    ours: /^parse: expected package agent_policy, got other$/,
    why: "the real agent takes it and then refuses everything until it is restarted",
  },
  {
    id: /^setpolicy-(syntax-error|no-package|wrong-package|v0-syntax|only-comment)\/(details|set-allow-all-again)$/,
    ours: /^allowed$/,
    why: "the old policy stays in force; the real agent has none after a policy that does not parse",
  },
  {
    id: /^policy\/(set-(empty|no-package|wrong-package))$/,
    ours: /^parse: /,
    why: "recorded after a policy that did not parse had left the real agent without one",
  },
  {
    id: /^policy\/deny-copyfile-symlink$/,
    ours: /^CopyFileRequest: internal error invalid symlink content$/,
    why: "the same code, in our words",
  },
  {
    id: /^policy\/wrong-package-details$/,
    ours: /is blocked by policy: /,
    why: "recorded after a policy that did not parse had left the real agent without one",
  },
];

const file = vectors("golden/agent.jsonl");
const texts = vectors("golden/policies.json");
const recorded = file === undefined || texts === undefined ? undefined : jsonLines<Row>(file);
const named: Readonly<Record<string, string>> =
  texts === undefined
    ? { "allow-all": `${PACKAGE}default GuestDetailsRequest := true\n` }
    : (JSON.parse(readFileSync(texts, "utf8")) as Record<string, string>);
const methods: Readonly<Record<string, MethodDescriptor<unknown, unknown>>> = AgentService.methods;
const wasm = readFileSync(join(import.meta.dirname, "../../packages/regorus-wasm/regorus.wasm"));

/** The sections in which the real agent was asked about policies, as they ran. */
const sections = Map.groupBy(
  (recorded ?? OWN).filter(({ section }) => /^(own|policy3?|setpolicy-.*)$/.test(section)),
  ({ section }) => section,
);

/** What the real agent's policy said: its text, or `allowed` where the answer came from behind the policy. */
function theirs({ message = "" }: Row): string {
  const quoted = /^"\w+(?: is blocked by policy: |: internal error )/.test(message);
  return quoted ? (JSON.parse(message) as string) : "allowed";
}

/** Asks ours as the agent does, and puts a new policy in force when it is allowed to. */
async function ours(engine: PolicyEngine, row: Row, method: MethodDescriptor<unknown, unknown>): Promise<string> {
  const rule = method.requestType.slice("grpc.".length);
  const request: object = fromJson(method.requestType, row.request ?? {});
  try {
    const { allowed, prints } = await engine.check(rule, policyInput(method, request));
    if (!allowed) return `${rule} is blocked by policy: ${prints.join(" ")}`;
  } catch (error) {
    if (error instanceof PolicyError) return `${rule}: internal error ${error.message}`;
    throw error;
  }
  if (row.method !== "SetPolicy") return "allowed";
  try {
    await engine.setPolicy(String(row.request?.["policy"]));
    return "allowed";
  } catch (error) {
    if (error instanceof PolicyError) return `${error.code}: ${error.message}`;
    throw error;
  }
}

describe("the policy answers as the real agent's does", () => {
  it.each([...sections.keys()])("%s", async (section) => {
    const rows = sections.get(section) ?? [];
    const start = named[rows[0]?.policy ?? ""];
    if (start === undefined) throw new Error(`no policy ${rows[0]?.policy}`);
    const engine = await PolicyEngine.create({ loadWasm: () => Promise.resolve(wasm) });
    await engine.setPolicy(start, `/srv/peers/golden/pol/${rows[0]?.policy}.rego`);
    for (const row of rows) {
      const method = methods[row.method];
      // Reading comes before the policy, whose no only empties the reply; a payload that was cut cannot be sent again.
      if (method === undefined || /^Read/.test(row.method) || /^<.*>$/.test(String(row.request?.["policy"]))) continue;
      const got = await ours(engine, row, method);
      const difference = DIFFERENCES.find(({ id }) => id.test(row.id));
      if (difference !== undefined) expect(got, row.id).toMatch(difference.ours);
      else if (row.method === "SetPolicy" && row.code === 3) expect(got, row.id).toBe(`parse: ${row.message}`);
      else expect(got, row.id).toBe(theirs(row));
    }
  });
});
