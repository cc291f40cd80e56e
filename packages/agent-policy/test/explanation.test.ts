import { describe, expect, it } from "vitest";
import { type Explanation, explanationLines, redactEnvironment } from "../src/index.ts";
import { engineWith } from "./policy-engine.ts";

const POLICY = `package agent_policy

pods := [
  {"name": "a", "args": ["sh"], "env": ["X=1"], "mounts": []},
  {"name": "b", "args": ["top"], "env": ["Y=2", "Z=3"], "mounts": [{"path": "/proc"}]},
]

default Create := false

Create if {
  print("checking", input.id)
  some pod in pods
  allow_process(pod, input.process)
  every mount in input.mounts {
    allow_mount(pod, mount)
  }
}

allow_process(pod, process) if {
  process.args == pod.args
  every variable in process.env {
    allow_variable(pod, variable)
  }
  not process.terminal
}

allow_variable(pod, variable) if variable in pod.env

allow_variable(_, variable) if {
  startswith(variable, "KUBERNETES_")
  count(split(variable, "=")) == 2
}

allow_mount(pod, mount) if {
  some known in pod.mounts
  known.path == mount.path
}

default Known := false
Known if id_is_known(input.id)
id_is_known(id) if data.pstate[id]

default Counted := false
Counted if {
  pulls := [storage | some storage in input.storages; storage == "image"]
  count(pulls) == 1
}

default Assigned := false
Assigned if {
  limit := input.limits.memory
  limit < 100
}

default Joined := false
Joined if kind(input.id) == "pod"
kind(id) := "pod" if startswith(id, "p")
kind(id) := "job" if startswith(id, "j")

default Spent := false
Spent if { some n in input.numbers; n > 5 }

default Merged := false
Merged if input.a with input.a as input.b

Undefined if input.x == 1

default Indented := false
Indented if {
\tinput.word == "tab"
}
`;

async function explained(rule: string, input: object): Promise<Explanation | undefined> {
  const engine = await engineWith(POLICY, { explain: true });
  const { allowed, explanation } = await engine.check(rule, JSON.stringify(input));
  expect(allowed).toBe(false);
  return explanation;
}

async function lines(rule: string, input: object): Promise<readonly string[]> {
  const explanation = await explained(rule, input);
  if (explanation === undefined) throw new Error("expected an explanation");
  return explanationLines(explanation);
}

const process = (args: readonly string[], env: readonly string[], terminal = false): object => ({
  process: { args, env, terminal },
  mounts: [],
});

describe("an explanation", () => {
  it("leads to the condition that failed, with what was expected and what was there", async () => {
    expect(await lines("Create", process(["bash"], []))).toEqual([
      "agent_policy:13: allow_process(pod, input.process)  (in Create)",
      "agent_policy:20: process.args == pod.args  is not so  (in allow_process)",
      '  actual process.args: ["bash"]',
      '  expected pod.args: ["sh"]',
    ]);
  });

  it("is of the alternative that came furthest", async () => {
    expect(await lines("Create", process(["top"], ["Y=2", "Q=4"]))).toEqual([
      "agent_policy:13: allow_process(pod, input.process)  (in Create)",
      "agent_policy:21: every variable in process.env {  (in allow_process)",
      "agent_policy:22: allow_variable(pod, variable)  (in allow_process)",
      "agent_policy:27: variable in pod.env  is not so  (in allow_variable)",
      '  actual variable: "Q=4"',
      '  expected pod.env: ["Y=2","Z=3"]',
    ]);
    const mounts = { ...process(["top"], []), mounts: [{ path: "/etc" }] };
    expect((await lines("Create", mounts)).slice(-3)).toEqual([
      "agent_policy:36: known.path == mount.path  is not so  (in allow_mount)",
      '  expected known.path: "/proc"',
      '  actual mount.path: "/etc"',
    ]);
  });

  it.each<[string, string, object, string[]]>([
    [
      "a negation",
      "Create",
      process(["top"], [], true),
      ["agent_policy:24: not process.terminal  is not so  (in allow_process)", "  process.terminal: true"],
    ],
    [
      "what the state does not have",
      "Known",
      { id: "x" },
      ["agent_policy:41: data.pstate[id]  is not so  (in id_is_known)", "  data.pstate[id]: undefined"],
    ],
    [
      "a number of things",
      "Counted",
      { storages: ["a"] },
      ["agent_policy:46: count(pulls) == 1  is not so  (in Counted)", "  count(pulls): 0"],
    ],
    [
      "what is indented with tabs",
      "Indented",
      { word: "blank" },
      ['agent_policy:70: input.word == "tab"  is not so  (in Indented)', '  input.word: "blank"'],
    ],
    [
      "what is not there to be assigned",
      "Assigned",
      {},
      ["agent_policy:51: limit := input.limits.memory  is not so  (in Assigned)", "  input.limits.memory: undefined"],
    ],
    [
      "a function of several values",
      "Joined",
      { id: "j1" },
      ['agent_policy:56: kind(input.id) == "pod"  is not so  (in Joined)', '  kind(input.id): "job"'],
    ],
    [
      "a loop over nothing",
      "Spent",
      { numbers: [] },
      ["agent_policy:61: Spent if { some n in input.numbers; n > 5 }  is not so  (in Spent)"],
    ],
    ["each of a loop", "Spent", { numbers: [1, 2] }, ["agent_policy:61: n > 5  is not so  (in Spent)", "  n: 1"]],
  ])("tells %s", async (_name, rule, input, expected) => {
    expect((await lines(rule, input)).slice(-expected.length)).toEqual(expected);
  });

  it("is of the state that the refused request saw", async () => {
    const engine = await engineWith(
      `package agent_policy\ndefault A := false\nA := {"allowed": true, "ops": [{"op": "add", "path": "/pstate/n", "value": 1}]} if not data.pstate.n\n`,
      { explain: true },
    );
    expect((await engine.check("A", "{}")).allowed).toBe(true);
    const { explanation } = await engine.check("A", "{}");
    expect(explanation?.steps.at(-1)).toEqual({
      rule: "A",
      line: 3,
      text: "not data.pstate.n",
      operands: [{ text: "data.pstate.n", value: 1 }],
    });
  });

  it("is the same of a policy that is compiled, and of its state", async () => {
    const padding = "# a policy of the size that is compiled\n".repeat(250);
    const policy = `${POLICY}
default Stateful := false
Stateful := {"allowed": true, "ops": [{"op": "add", "path": "/pstate/n", "value": 1}]} if not data.pstate.n
`;
    const told = async (text: string): Promise<object[]> => {
      const engine = await engineWith(text, { explain: true });
      expect((await engine.check("Stateful", "{}")).allowed).toBe(true);
      const refused = [await engine.check("Stateful", "{}"), await engine.check("Known", '{"id":"x"}')];
      return refused.map(({ explanation }) => explanation ?? {});
    };
    const small = await told(policy);
    expect(small[0]).toHaveProperty("steps");
    expect(await told(policy + padding)).toEqual(small);
  });

  it("is not made up where there is none", async () => {
    expect(await explained("Merged", { a: 1, b: false })).toBeUndefined();
    const engine = await engineWith(POLICY, { explain: true });
    await expect(engine.check("Undefined", "{}")).rejects.toMatchObject({ code: "evaluation" });
    const silent = await engineWith(POLICY);
    expect(await silent.check("Known", '{"id":"x"}')).not.toHaveProperty("explanation");
  });

  it("keeps integers beyond 2^53", async () => {
    const engine = await engineWith(
      "package agent_policy\ndefault A := false\nA if input.n == 18446744073709551614\n",
      {
        explain: true,
      },
    );
    const { explanation } = await engine.check("A", '{"n":18446744073709551615}');
    expect(explanationLines(explanation as Explanation)).toContain("  input.n: 18446744073709551615");
  });
});

describe("redactEnvironment", () => {
  it("leaves names of variables and nothing of their values", async () => {
    const engine = await engineWith(POLICY, { explain: true });
    const input = JSON.stringify({
      id: "x",
      OCI: { Process: { Env: ["TOKEN=hunter2", "EMPTY=", "PATH=/bin", "PIN=31337000", "KEY=a-longer-secret", "N=1"] } },
    });
    const { explanation } = await engine.check("Known", input);
    const step = (value: string): Explanation => ({
      ...(explanation as Explanation),
      steps: [{ rule: "A", line: 1, text: "x", operands: [{ text: "x", value: [value, { y: "/bin" }, 1] }] }],
    });
    const redacted = (value: string): unknown => redactEnvironment(step(value), input).steps[0]?.operands[0]?.value;
    expect(redacted("TOKEN=hunter2")).toEqual(["TOKEN=<redacted>", { y: "<redacted>" }, 1]);
    expect(redacted("hunter2")).toEqual(["<redacted>", { y: "<redacted>" }, 1]);
    expect(redacted("OTHER=of the policy")).toEqual(["OTHER=<redacted>", { y: "<redacted>" }, 1]);
    expect(redacted("")).toEqual(["", { y: "<redacted>" }, 1]);
    expect(redacted("sh -c 'login hunter2'")).toEqual(["sh -c 'login <redacted>'", { y: "<redacted>" }, 1]);
    expect(redacted("longer-secret")).toEqual(["<redacted>", { y: "<redacted>" }, 1]);
    expect(redacted("secret")).toEqual(["secret", { y: "<redacted>" }, 1]);
    const nested = {
      steps: [{ rule: "A", line: 1, text: "x", operands: [{ text: "x", value: { hunter2: 31337000 } }] }],
    };
    const [told] = redactEnvironment({ ...(explanation as Explanation), ...nested }, input).steps;
    expect(told?.operands[0]?.value).toEqual({ "<redacted>": "<redacted>" });
  });
});
