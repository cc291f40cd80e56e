import { describe, expect, it } from "vitest";
import { policyInput } from "@nacre/agent-policy";
import { AgentService, fromJson, type MethodDescriptor, parseLossless, stringifyLossless } from "@nacre/protocols";
import { jsonLines, vectors } from "../setup/data.ts";

/** A call whose policy printed its whole input; the print came back in the refusal. */
interface Row {
  readonly id: string;
  readonly method: string;
  readonly request: object;
  readonly message?: string;
}

const OWN: readonly Row[] = [
  {
    id: "policy3/input-own",
    method: "AddSwap",
    request: { PCIPath: [1] },
    message: '"AddSwapRequest is blocked by policy: agent_policy:8: {\\"PCIPath\\": [1]}"',
  },
  {
    id: "policy3/input-own-2",
    method: "MemHotplugByProbe",
    request: { memHotplugProbeAddr: ["18446744073709551615"] },
    message:
      '"MemHotplugByProbeRequest is blocked by policy: agent_policy:8: {\\"memHotplugProbeAddr\\": [18446744073709551615]}"',
  },
];

const file = vectors("golden/agent.jsonl");
const rows = (file === undefined ? OWN : jsonLines<Row>(file)).flatMap((row) => {
  const printed = /blocked by policy: agent_policy:8: (\{.*\})"$/.exec(row.message ?? "")?.[1];
  // The refusal is a quoted string, so the print in it is escaped once more.
  return printed !== undefined && /^policy3\/(print-)?input/.test(row.id)
    ? [{ row, printed: JSON.parse(`"${printed}"`) as string }]
    : [];
});
const methods: Readonly<Record<string, MethodDescriptor<unknown, unknown>>> = AgentService.methods;

/** Key order is no part of JSON; the engine prints keys sorted. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([k, v]) => [k, sorted(v)]),
  );
}

describe("the policy's input is the real agent's", () => {
  it("in all that were printed", () => {
    expect(rows.length).toBeGreaterThan(1);
  });

  it.each(rows.map(({ row, printed }) => [row.id, row, printed] as const))("%s", (_id, row, printed) => {
    const method = methods[row.method];
    if (method === undefined) throw new Error(`no method ${row.method}`);
    const ours = parseLossless(policyInput(method, fromJson(method.requestType, row.request)));
    expect(stringifyLossless(sorted(ours))).toBe(stringifyLossless(sorted(parseLossless(printed))));
  });
});
