import { describe, expect, it } from "vitest";
import { PolicyState } from "../src/policy-state.ts";
import { engineWith } from "./policy-engine.ts";

const add = (key: string, value: string | number): { op: string; path: string; value: string | number } => ({
  op: "add",
  path: `/pstate/${key}`,
  value,
});

const creates = (container: string): { container: string; creates: boolean } => ({ container, creates: true });

describe("PolicyState", () => {
  const named = PolicyState.EMPTY.after([add("sandbox_name", "pod")]);
  const isName = "policy check: the container id sandbox_name is a name in the policy's state";

  it("forgets a container that is gone, and nothing else", () => {
    const state = named.after([add("c1", 0)], creates("c1")).after([add("c2", 1)], creates("c2"));
    expect(state.without("c1").document).toEqual({ pstate: { sandbox_name: "pod", c2: 1 } });
    expect(state.without("sandbox_name")).toBe(state);
    expect(state.without("c3")).toBe(state);
    expect(state.document).toEqual({ pstate: { sandbox_name: "pod", c1: 0, c2: 1 } });
  });

  it("keeps a container until it is gone, whatever a request to remove it says", () => {
    const made = named.after([add("c1", 0)], creates("c1")).after([add("c2", 1)], creates("c2"));
    const remove = (key: string) => ({ op: "remove", path: `/pstate/${key}` });
    const asked = made.after([remove("c1"), add("removals", 1)], { container: "c1", removes: true });
    expect(asked.document).toEqual({ pstate: { sandbox_name: "pod", c1: 0, c2: 1, removals: 1 } });
    expect(() => asked.after([add("c1", 5)], creates("c1"))).toThrow("policy check: the container id c1 is in use");
    expect(asked.without("c1").document).toEqual({ pstate: { sandbox_name: "pod", c2: 1, removals: 1 } });
    // Upstream's policies remove the key of an id that they do not know, which fails.
    expect(() => made.after([remove("c3")], { container: "c3", removes: true })).toThrow();
    const changed = made.after([add("c1", 7)], { container: "c1", removes: true });
    expect(changed.document).toMatchObject({ pstate: { c1: 7 } });
  });

  it("knows a container by any id", () => {
    for (const id of ["pstate", "", "__proto__", "constructor", "-", "0"]) {
      const state = PolicyState.EMPTY.after([add(id, 0)], creates(id));
      expect(state.document).toEqual({ pstate: Object.fromEntries([[id, 0]]) });
      expect(state.without(id).document).toEqual({ pstate: {} });
    }
  });

  it("refuses an id that leads into what the policy keeps of others", () => {
    const state = PolicyState.EMPTY.after([{ op: "add", path: "/pstate/sandbox", value: { id: "s" } }]);
    expect(() => state.after([add("sandbox/id", 0)], creates("sandbox/id"))).toThrow("sandbox/id is no container's id");
    const remove = { op: "remove", path: "/pstate/sandbox/id" };
    expect(() => state.after([remove], { container: "sandbox/id" })).toThrow("sandbox/id is no container's id");
    expect(() => state.after([add("sandbox~1id", 0)], creates("sandbox~1id"))).toThrow("is no container's id");
  });

  it("refuses a container whose id is a name of the policy's", () => {
    expect(() => named.after([add("sandbox_name", 0)], creates("sandbox_name"))).toThrow(isName);
    // In the very patch in which the policy writes its names.
    const both = [add("sandbox_name", "pod"), add("sandbox_name", 0)];
    expect(() => PolicyState.EMPTY.after(both, creates("sandbox_name"))).toThrow(isName);
    const all = { op: "add", path: "/pstate", value: { sandbox_name: 0 } };
    expect(PolicyState.EMPTY.after([all], creates("sandbox_name")).without("sandbox_name").document).toEqual({
      pstate: {},
    });
  });

  it.each([
    ["remove", { op: "remove", path: "/pstate/sandbox_name" }],
    ["replace", { op: "replace", path: "/pstate/sandbox_name", value: 0 }],
    ["move", { op: "move", from: "/pstate/sandbox_name", path: "/pstate/other" }],
    ["copy", { op: "copy", from: "/pstate/sandbox_name", path: "/pstate/other" }],
  ])("refuses to %s a name for a request about a container of that id", (_op, operation) => {
    expect(() => named.after([operation], { container: "sandbox_name" })).toThrow(isName);
    expect(() => named.after([operation])).not.toThrow();
  });

  it("refuses to write within a name for a request about a container of that id", () => {
    const state = PolicyState.EMPTY.after([{ op: "add", path: "/pstate/sandbox", value: {} }]);
    expect(() => state.after([add("sandbox/execs", 1)], { container: "sandbox" })).toThrow("is a name in the policy's");
  });

  it("refuses a name of the policy's that is a container's id", () => {
    const state = PolicyState.EMPTY.after([add("namespace", 0)], creates("namespace"));
    const message = "policy check: the container id namespace is a name in the policy's state";
    expect(() => state.after([add("namespace", "default"), add("c1", 1)], creates("c1"))).toThrow(message);
    // A sandbox is created while the host has a container of that name under way.
    expect(() => state.after([add("namespace", "default")])).toThrow(message);
    expect(() => state.after([add("namespace", "default")], { container: "c2" })).toThrow(message);
  });

  it("refuses an id that is in use", () => {
    const state = PolicyState.EMPTY.after([add("c1", 0)], creates("c1"));
    expect(() => state.after([add("c1", 1)], creates("c1"))).toThrow("policy check: the container id c1 is in use");
  });

  it("lets a policy remove and write anew what it keeps of a container", () => {
    const state = PolicyState.EMPTY.after([add("c1", 0)], creates("c1"));
    const gone = state.after([{ op: "remove", path: "/pstate/c1" }], { container: "c1" });
    expect(gone.document).toEqual({ pstate: {} });
    expect(gone.without("c1")).toBe(gone);
    expect(gone.after([add("c1", 2)], creates("c1")).document).toEqual({ pstate: { c1: 2 } });
    expect(state.after([add("c1", "started")], { container: "c1" }).document).toEqual({ pstate: { c1: "started" } });
    expect(state.after([{ op: "remove", path: "/pstate/c1" }]).document).toEqual({ pstate: {} });
  });

  it("has one value for a key whatever else a patch does", () => {
    const state = PolicyState.EMPTY.after(
      [{ op: "add", path: "/pstate/c1", value: { deep: 1 } }, add("c1/deep", 3)],
      creates("c1"),
    );
    expect(state.document).toEqual({ pstate: { c1: { deep: 3 } } });
    const deeper = state.after([add("c1/deep", 2)], { container: "c1" });
    expect(deeper.document).toEqual({ pstate: { c1: { deep: 2 } } });
    expect(deeper.without("c1").document).toEqual({ pstate: {} });
  });
});

describe("the engine's state", () => {
  const POLICY = `package agent_policy
default SetPolicyRequest := true
CreateContainerRequest := {"allowed": true, "ops": ops} if {
  not data.pstate[input.id]
  ops := [{"op": "add", "path": concat("/", ["/pstate", input.id]), "value": true}]
}
default StartContainerRequest := false
StartContainerRequest if data.pstate[input.id]
`;
  const input = (id: string): string => JSON.stringify({ id });

  it("is without a container that was forgotten, for the rules as well", async () => {
    const engine = await engineWith(POLICY);
    await engine.check("CreateContainerRequest", input("c1"), creates("c1"));
    expect((await engine.check("StartContainerRequest", input("c1"))).allowed).toBe(true);
    await engine.forget("c1");
    expect((await engine.check("StartContainerRequest", input("c1"))).allowed).toBe(false);
    expect((await engine.check("CreateContainerRequest", input("c1"), creates("c1"))).allowed).toBe(true);
    await engine.forget("never was");
  });

  it("says that an id is taken by a name", async () => {
    const engine = await engineWith(POLICY);
    await engine.check("CreateContainerRequest", input("named"));
    // The rule finds it taken; what it would write is refused where it does not look.
    const blind = await engineWith(POLICY.replace("not data.pstate[input.id]\n", ""));
    await blind.check("CreateContainerRequest", input("named"));
    await expect(blind.check("CreateContainerRequest", input("named"), creates("named"))).rejects.toMatchObject({
      code: "evaluation",
      message: "policy check: the container id named is a name in the policy's state",
    });
  });

  it("of two policies that were both allowed, the second one meets the first", async () => {
    const engine = await engineWith(POLICY);
    const closed = POLICY.replace("SetPolicyRequest := true", "SetPolicyRequest := false");
    const [first, second] = await Promise.allSettled([engine.replacePolicy(closed), engine.replacePolicy(POLICY)]);
    expect(first).toMatchObject({ status: "fulfilled", value: { digest: engine.digest } });
    expect(second).toMatchObject({ status: "rejected", reason: { code: "refused" } });
    await expect(engine.replacePolicy("package agent_policy\nx :=")).rejects.toMatchObject({ code: "parse" });
    expect((await engine.check("SetPolicyRequest", "{}")).allowed).toBe(false);
  });
});

describe.each([
  ["interpreted", ""],
  ["compiled", "# a policy of the size that is compiled\n".repeat(250)],
])("decisions that take many turns, of a policy that is %s", (_how, padding) => {
  const SLOW = `package agent_policy
${padding}
CreateContainerRequest := {"allowed": true, "ops": ops} if {
  count([1 | some i in numbers.range(1, 3000); i * i == -1]) == 0
  not data.pstate.taken
  ops := [{"op": "add", "path": "/pstate/taken", "value": input.container_id}]
}
default StartContainerRequest := false
StartContainerRequest if data.pstate.taken == input.container_id
`;

  it("do not come between one another and the state that they leave", async () => {
    let turns = 0;
    const turn = async (): Promise<void> => {
      turns += 1;
      await new Promise((resolve) => void setImmediate(resolve));
    };
    const engine = await engineWith(SLOW, { limits: { sliceMs: 0 }, turn });
    turns = 0;
    const ids = Array.from({ length: 8 }, (_, i) => `c${i}`);
    const answers = await Promise.allSettled(
      ids.flatMap((id) => [
        engine.check("CreateContainerRequest", JSON.stringify({ container_id: id }), creates(id)),
        engine.check("StartContainerRequest", JSON.stringify({ container_id: id }), { container: id }),
        // Between the others' slices, whatever they are at.
        engine.forget(`never-${id}`),
      ]),
    );
    expect(turns).toBeGreaterThan(ids.length);
    const told = answers.map((one) => {
      if (one.status === "rejected") return "no answer";
      return typeof one.value === "object" ? one.value.allowed : "done";
    });
    const first = [true, true, "done"];
    const later = ["no answer", false, "done"];
    expect(told).toEqual([...first, ...Array.from({ length: 7 }, () => later).flat()]);
  });

  it("nor does a policy that replaces theirs", async () => {
    const engine = await engineWith(SLOW, { limits: { sliceMs: 0 } });
    const closed = "package agent_policy\ndefault CreateContainerRequest := false\n";
    const deciding = engine.check("CreateContainerRequest", '{"container_id":"c1"}', creates("c1"));
    const replacing = engine.setPolicy(closed);
    expect((await deciding).allowed).toBe(true);
    await replacing;
    expect((await engine.check("CreateContainerRequest", '{"container_id":"c2"}', creates("c2"))).allowed).toBe(false);
    // What the decision left is the old policy's, and gone with it.
    await engine.setPolicy(SLOW);
    expect((await engine.check("StartContainerRequest", '{"container_id":"c1"}')).allowed).toBe(false);
  });
});
