import { describe, expect, it } from "vitest";

import { PolicyError } from "../src/index.ts";
import { engineWith } from "./policy-engine.ts";

const P = "package agent_policy\n";

async function failure(work: Promise<unknown>): Promise<PolicyError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof PolicyError) return error;
    throw error;
  }
  throw new Error("expected a PolicyError");
}

describe("PolicyEngine", () => {
  it("allows, refuses with prints, and has no answer for an undefined rule", async () => {
    const engine = await engineWith(
      `${P}default Yes := true\ndefault No := false\nNo if { print("no", input.a); false }\n`,
    );
    expect(await engine.check("Yes", "{}")).toEqual({ allowed: true, prints: [] });
    expect(await engine.check("No", '{"a":1}')).toEqual({ allowed: false, prints: ["agent_policy:4: no 1"] });
    expect(await failure(engine.check("Other", "{}"))).toMatchObject({
      code: "evaluation",
      message: "policy check: unexpected eval_query result len QueryResults { result: [] }",
    });
  });

  it("knows which rules a policy may have", async () => {
    const engine = await engineWith(`${P}default Yes := true\n`);
    expect([engine.mentions("Yes"), engine.mentions("No")]).toEqual([true, false]);
  });

  it("says what a value that is no answer is, in the real agent's words", async () => {
    const engine = await engineWith(
      `${P}A := "s"\nB := 1\nC := null\nD := [true]\nE := {}\nF := {"allowed": "true"}\nG := {"allowed": true, "ops": {}}\nH := {1}\n`,
    );
    const outcome = (rule: string, value: string): string =>
      "policy check: unexpected eval_query result type QueryResults { result: [QueryResult { expressions: " +
      `[Expression { value: ${value}, text: "data.agent_policy.${rule}", location: Location { row: 1, col: 1 } }], ` +
      "bindings: Object({}) }] }";
    const expected = {
      A: outcome("A", 'String("s")'),
      B: outcome("B", "Number(1)"),
      C: outcome("C", "Null"),
      D: outcome("D", "Array([Bool(true)])"),
      E: "missing field `allowed` at line 1 column 2",
      F: 'invalid type: string "true", expected a boolean at line 1 column 17',
      G: "invalid type: map, expected a sequence at line 1 column 22",
      H: outcome("H", "Set({Number(1)})"),
    };
    for (const [rule, message] of Object.entries(expected)) {
      expect(await failure(engine.check(rule, "{}"))).toMatchObject({ code: "evaluation", message });
    }
  });

  it("cuts what a refusal says before it fills a reply", async () => {
    const engine = await engineWith(
      `${P}default No := false\nNo if { print(input.s); print(input.s); false }\nBig := input.s\n`,
      { limits: { maxPrintsLength: 100, maxDebugLength: 100 } },
    );
    const input = JSON.stringify({ s: "x".repeat(1000) });
    expect((await engine.check("No", input)).prints).toEqual([`agent_policy:3: ${"x".repeat(84)}`]);
    expect((await failure(engine.check("Big", input))).message).toMatch(
      /^policy check: unexpected eval_query result type QueryResults \{.{86}$/u,
    );
  });

  it("asks for rules only by their names", async () => {
    const engine = await engineWith(`${P}default A := true\n`);
    for (const rule of ["", "A; true", "A == true", 'A["x"]', "A\n", "1A"]) {
      expect((await failure(engine.check(rule, "{}"))).code).toBe("input");
    }
  });

  describe("AllowRequestsFailingPolicy", () => {
    const open = `${P}default AllowRequestsFailingPolicy := true\n`;

    it("lets an undefined rule and an error in a rule through, but no explicit no", async () => {
      const engine = await engineWith(`${open}default No := false\nBroken if nosuch.builtin(1)\n`);
      expect(engine.allowRequestsFailingPolicy).toBe(true);
      for (const rule of ["Other", "Broken"]) expect((await engine.check(rule, "{}")).allowed).toBe(true);
      expect((await engine.check("No", "{}")).allowed).toBe(false);
    });

    it("does not let a value through that is no answer, nor a state that does not apply", async () => {
      const engine = await engineWith(
        `${open}Number := 1\nOps := {"allowed": true, "ops": [{"op": "remove", "path": "/pstate/none"}]}\n`,
      );
      expect((await failure(engine.check("Number", "{}"))).message).toContain("result type");
      expect((await failure(engine.check("Ops", "{}"))).message).toContain("path is invalid");
    });

    it.each(['AllowRequestsFailingPolicy := "yes"', "AllowRequestsFailingPolicy := 1", "A := true"])(
      "is off with %s",
      async (rule) => {
        const engine = await engineWith(`${P}${rule}\n`);
        expect(engine.allowRequestsFailingPolicy).toBe(false);
        expect((await failure(engine.check("Other", "{}"))).code).toBe("evaluation");
      },
    );
  });

  describe("state", () => {
    const STATEFUL = `${P}
Add := {"allowed": true, "ops": [{"op": "add", "path": concat("/", ["/pstate", input.id]), "value": input.n}]} if not data.pstate[input.id]
Remove := {"allowed": true, "ops": [{"op": "remove", "path": concat("/", ["/pstate", input.id])}]}
Refuse := {"allowed": false, "ops": [{"op": "add", "path": "/pstate/x", "value": 1}]}
HalfWay := {"allowed": true, "ops": [{"op": "add", "path": "/pstate/half", "value": 1}, {"op": "remove", "path": "/pstate/none"}]}
Has if data.pstate[input.id]
Is if data.pstate[input.id] == input.n
`;
    const id = (text: string, n = 1n): string => `{"id":"${text}","n":${n}}`;

    it("is kept for later requests, exactly", async () => {
      const engine = await engineWith(STATEFUL);
      await engine.check("Add", id("a", 18446744073709551615n));
      expect((await engine.check("Is", id("a", 18446744073709551615n))).allowed).toBe(true);
      expect((await failure(engine.check("Is", id("a", 18446744073709551614n)))).code).toBe("evaluation");
      expect((await failure(engine.check("Add", id("a")))).code).toBe("evaluation");
      await engine.check("Remove", id("a"));
      expect((await failure(engine.check("Has", id("a")))).code).toBe("evaluation");
    });

    it("is not touched by a refusal, or by a patch that fails half-way", async () => {
      const engine = await engineWith(STATEFUL);
      expect((await engine.check("Refuse", "{}")).allowed).toBe(false);
      expect((await failure(engine.check("Has", id("x")))).code).toBe("evaluation");
      expect((await failure(engine.check("HalfWay", "{}"))).message).toBe(
        "operation '/1' failed at path '/pstate/none': path is invalid",
      );
      expect((await failure(engine.check("Has", id("half")))).code).toBe("evaluation");
    });

    it.each([
      ["no object", '{"op": "replace", "path": "", "value": 1}', "data must be object"],
      [
        "too large",
        '{"op": "add", "path": "/pstate/s", "value": input.s}',
        "expected a state of at most 1000 characters",
      ],
    ])("that is %s is not kept", async (_name, op, message) => {
      const engine = await engineWith(
        `${P}Bad := {"allowed": true, "ops": [${op}]}\nAdd := {"allowed": true, "ops": [{"op": "add", "path": "/pstate/a", "value": 1}]}\nHas if data.pstate.a == 1\n`,
        { limits: { maxStateLength: 1000 } },
      );
      await engine.check("Add", "{}");
      const error = await failure(engine.check("Bad", JSON.stringify({ s: "x".repeat(1000) })));
      expect(error).toMatchObject({ code: "evaluation", message });
      expect((await engine.check("Has", "{}")).allowed).toBe(true);
    });

    it("goes with its policy", async () => {
      const engine = await engineWith(STATEFUL);
      await engine.check("Add", id("a"));
      await engine.setPolicy(STATEFUL);
      expect((await failure(engine.check("Has", id("a")))).code).toBe("evaluation");
    });

    it("of concurrent requests for one name lets one win", async () => {
      const engine = await engineWith(STATEFUL);
      const results = await Promise.allSettled(Array.from({ length: 20 }, () => engine.check("Add", id("same"))));
      expect(results.filter((r) => r.status === "fulfilled")).toHaveLength(1);
    });
  });

  describe("a policy that is none leaves the old one in force", () => {
    const bad: [name: string, text: string, message: RegExp][] = [
      ["syntax", `${P}default X := \n`, /error: expecting expression$/u],
      ["no package", "default X := true\n", /expecting `package` Missing package declaration\.$/u],
      ["another package", "package other\ndefault X := true\n", /^expected package agent_policy, got other$/u],
      [
        "a package below",
        "package agent_policy.more\ndefault X := true\n",
        /^expected package agent_policy, got agent_policy\.more$/u,
      ],
      ["v0 syntax", `${P}X { true }\n`, /`if` keyword is required before rule body$/u],
      ["an unsafe variable", `${P}X if { y == 1 }\n`, /use of undefined variable `y` is unsafe$/u],
      ["a long line", `${P}# ${"x".repeat(70_000)}\n`, /^expected lines of at most 65536 bytes, line 2 has 70002$/u],
      ["many lines", `${P}${"\n".repeat(200_001)}`, /^expected a policy of at most 200000 lines$/u],
      [
        "a large file",
        `${P}${`# ${"x".repeat(60_000)}\n`.repeat(300)}`,
        /^expected a policy of at most 16777216 bytes, got/u,
      ],
    ];
    it.each(bad)("%s", async (_name, text, message) => {
      const engine = await engineWith(`${P}default Old := true\n`);
      const { digest } = engine;
      const error = await failure(engine.setPolicy(text));
      expect(error.code).toBe("parse");
      expect(error.message).toMatch(message);
      expect(engine.digest).toBe(digest);
      expect((await engine.check("Old", "{}")).allowed).toBe(true);
    });
  });

  it("before the first policy refuses everything", async () => {
    const engine = await engineWith(`${P}default A := true\n`);
    expect(engine.digest).toMatch(/^[0-9a-f]{64}$/u);
    const { PolicyEngine } = await import("../src/index.ts");
    const { readFileSync } = await import("node:fs");
    const empty = await PolicyEngine.create({
      loadWasm: async () => readFileSync(`${import.meta.dirname}/../../regorus-wasm/regorus.wasm`),
    });
    expect((await failure(empty.check("A", "{}"))).message).toBe("policy check: no policy is in force");
    expect(empty.digest).toBe("");
  });

  describe("a policy that runs away is ended, the request refused, and the next served", () => {
    const open = `${P}default AllowRequestsFailingPolicy := true\ndefault B := true\n`;
    // Each value holds the one before it twice: a few lines, and comparing two of them takes 2^60 steps in one call.
    const doubled = (name: string): string =>
      Array.from({ length: 60 }, (_, i) => `${name}${i + 1} := [${name}${i}, ${name}${i}]`).join("\n  ");
    const compare = `Run if {\n  a0 := [input.x]\n  b0 := [input.x]\n  ${doubled("a")}\n  ${doubled("b")}\n  a60 == b60\n}\n`;

    it("by the engine's timer", async () => {
      const run = "Run if { some i in numbers.range(1, 9000); some j in numbers.range(1, 9000); i * j == -1 }\n";
      // A millisecond at each look: the machine may stop this process for longer than an evaluation may take.
      let now = 0;
      const engine = await engineWith(open + run, { limits: { evaluationMs: 50 }, monotonicMs: () => (now += 1) });
      expect((await failure(engine.check("Run", "{}"))).code).toBe("timeout");
      expect((await engine.check("B", "{}")).allowed).toBe(true);
    });

    it("within one step that the timer does not see", async () => {
      const engine = await engineWith(open + compare, { limits: { deadlineMs: 2_000 } });
      expect((await failure(engine.check("Run", '{"x":1}'))).code).toBe("trap");
      expect((await engine.check("B", "{}")).allowed).toBe(true);
    });

    it("while it is being put in force", async () => {
      const engine = await engineWith(open, { limits: { deadlineMs: 2_000 } });
      const { digest } = engine;
      const run = compare.replace("Run if", "AllowRequestsFailingPolicy if").replaceAll("input.x", "1");
      const error = await failure(engine.setPolicy(P + run));
      expect(error.code).toBe("parse");
      expect(engine.digest).toBe(digest);
      expect((await engine.check("B", "{}")).allowed).toBe(true);
    });

    it("and does not hold up the rest of the process", async () => {
      const engine = await engineWith(open + compare, { limits: { deadlineMs: 2_000 } });
      let turns = 0;
      const others = setInterval(() => (turns += 1), 1);
      await failure(engine.check("Run", '{"x":1}'));
      clearInterval(others);
      // None, or one when all is over, if it held them up.
      expect(turns).toBeGreaterThan(2);
    });
  });

  it.each([
    ["arrays", `A := ${"[".repeat(20_000)}${"]".repeat(20_000)}`],
    ["objects", `A := ${'{"a":'.repeat(20_000)}1${"}".repeat(20_000)}`],
    ["brackets", `A := ${"(".repeat(20_000)}1${")".repeat(20_000)}`],
    ["minus signs", `A := ${"- ".repeat(20_000)}1`],
    ["comprehensions", `A := ${"[x | x := ".repeat(5_000)}1${"]".repeat(5_000)}`],
  ])("a policy of nested %s is refused within the deadline", async (_name, rule) => {
    const engine = await engineWith(`${P}default Old := true\n`, { limits: { deadlineMs: 2_000 } });
    const error = await failure(engine.setPolicy(`${P}${rule}\n`));
    expect(error.code).toBe("parse");
    expect((await engine.check("Old", "{}")).allowed).toBe(true);
  });

  describe("an instance that traps is replaced, the state kept, the request refused", () => {
    const rules = `${P}default AllowRequestsFailingPolicy := true
Add := {"allowed": true, "ops": [{"op": "add", "path": "/pstate/a", "value": 1}]}
Has if data.pstate.a == 1
Keep := {"allowed": true, "ops": [{"op": "add", "path": "/pstate/b", "value": 1}]} if count(input.data) > 0
`;
    const hogs: [name: string, rule: string, input: object][] = [
      [
        "out of memory by strings",
        'Hog if count(concat("", [s | some i in numbers.range(1, 4000); s := concat("", [input.s, input.s])])) > 0',
        { s: "x".repeat(1 << 20) },
      ],
      ["out of memory by one builtin", "Hog if count(numbers.range(1, 1000000000)) > 0", {}],
    ];
    it.each(hogs)("%s", async (_name, rule, input) => {
      // Not by the clock, however slow the machine is.
      const engine = await engineWith(rules + rule, { limits: { evaluationMs: 60_000, deadlineMs: 60_000 } });
      await engine.check("Add", "{}");
      expect((await failure(engine.check("Hog", JSON.stringify(input)))).code).toBe("trap");
      expect((await engine.check("Has", "{}")).allowed).toBe(true);
    });

    it("and so is one that grew, without a word", async () => {
      const engine = await engineWith(rules, { limits: { maxGrowthBytes: 1 << 20 } });
      const data = Array.from({ length: 300_000 }, () => 255);
      expect((await engine.check("Keep", JSON.stringify({ data }))).allowed).toBe(true);
      await engine.check("Add", "{}");
      expect((await engine.check("Has", "{}")).allowed).toBe(true);
    });
  });

  it("warming up changes nothing and stands a policy that fails", async () => {
    const engine = await engineWith(
      `${P}CreateContainerRequest := {"allowed": true, "ops": [{"op": "add", "path": "/pstate/seen", "value": 1}]}\nSeen if data.pstate.seen\n`,
    );
    await engine.warmUp();
    await engine.warmUp("Nowhere");
    expect((await failure(engine.check("Seen", "{}"))).code).toBe("evaluation");
  });

  it("does not start for a caller that is gone", async () => {
    const engine = await engineWith(`${P}default A := true\n`);
    await expect(engine.check("A", "{}", { signal: AbortSignal.abort(new Error("gone")) })).rejects.toThrow("gone");
  });
});
