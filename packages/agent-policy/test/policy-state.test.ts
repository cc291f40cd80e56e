import { describe, expect, it } from "vitest";
import { PolicyState } from "../src/policy-state.ts";
import { engineWith } from "./policy-engine.ts";

const add = (key: string, value: string | number): { op: string; path: string; value: string | number } => ({
  op: "add",
  path: `/pstate/${key}`,
  value,
});

describe("PolicyState", () => {
  it("forgets a container that is gone, and nothing else", () => {
    const state = PolicyState.EMPTY.after([add("sandbox_name", "pod"), add("c1", 0)], "c1").after([add("c2", 1)], "c2");
    expect(state.without("c1").document).toEqual({ pstate: { sandbox_name: "pod", c2: 1 } });
    expect(state.without("sandbox_name")).toBe(state);
    expect(state.without("c3")).toBe(state);
    expect(state.document).toEqual({ pstate: { sandbox_name: "pod", c1: 0, c2: 1 } });
  });

  it("knows ids with slashes and tildes as keys of one step", () => {
    const state = PolicyState.EMPTY.after([add("a~1b~0c", 0)], "a/b~c");
    // The pointer escapes what the key is.
    expect(state.document).toEqual({ pstate: { "a/b~c": 0 } });
    expect(state.without("a/b~c").document).toEqual({ pstate: {} });
  });

  it("knows a container by any id", () => {
    const state = PolicyState.EMPTY.after([add("pstate", 0)], "pstate");
    expect(state.without("pstate").document).toEqual({ pstate: {} });
  });

  it("refuses a container whose id is a name of the policy's", () => {
    const named = PolicyState.EMPTY.after([add("sandbox_name", "pod")]);
    const message = "policy check: the container id sandbox_name is a name in the policy's state";
    expect(() => named.after([add("sandbox_name", 0)], "sandbox_name")).toThrow(message);
    // In the very patch in which the policy writes its names.
    expect(() => PolicyState.EMPTY.after([add("sandbox_name", "pod"), add("sandbox_name", 0)], "sandbox_name")).toThrow(
      message,
    );
  });

  it("refuses a name of the policy's that is a container's id", () => {
    const state = PolicyState.EMPTY.after([add("namespace", 0)], "namespace");
    expect(() => state.after([add("namespace", "default"), add("c1", 1)], "c1")).toThrow(
      "policy check: the container id namespace is a name in the policy's state",
    );
  });

  it("lets a policy remove and write anew what it keeps of a container", () => {
    const state = PolicyState.EMPTY.after([add("c1", 0)], "c1");
    const gone = state.after([{ op: "remove", path: "/pstate/c1" }]);
    expect(gone.document).toEqual({ pstate: {} });
    expect(gone.without("c1")).toBe(gone);
    expect(gone.after([add("c1", 2)], "c1").document).toEqual({ pstate: { c1: 2 } });
    expect(state.after([add("c1", "started")]).document).toEqual({ pstate: { c1: "started" } });
  });

  it("has one value for a key whatever else a patch does", () => {
    const state = PolicyState.EMPTY.after([{ op: "add", path: "/pstate/c1", value: { deep: 1 } }], "c1");
    const deeper = state.after([{ op: "add", path: "/pstate/c1/deep", value: 2 }], "c1");
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
    await engine.check("CreateContainerRequest", input("c1"), { creates: "c1" });
    expect((await engine.check("StartContainerRequest", input("c1"))).allowed).toBe(true);
    await engine.forget("c1");
    expect((await engine.check("StartContainerRequest", input("c1"))).allowed).toBe(false);
    expect((await engine.check("CreateContainerRequest", input("c1"), { creates: "c1" })).allowed).toBe(true);
    await engine.forget("never was");
  });

  it("says that an id is taken by a name", async () => {
    const engine = await engineWith(POLICY);
    await engine.check("CreateContainerRequest", input("named"));
    // The rule finds it taken; what it would write is refused where it does not look.
    const blind = await engineWith(POLICY.replace("not data.pstate[input.id]\n", ""));
    await blind.check("CreateContainerRequest", input("named"));
    await expect(blind.check("CreateContainerRequest", input("named"), { creates: "named" })).rejects.toMatchObject({
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
