import { describe, expect, it } from "vitest";
import { askPolicy, loadPolicy } from "../src/policy.ts";

const POLICY = `package agent_policy

default ExecProcessRequest := false
default PulledImageRequest := true

ExecProcessRequest if {
  print("asked for", input.process.Args)
  input.process.Args[0] == "ls"
}
`;

describe("a policy on the host", () => {
  it("says where it does not parse", async () => {
    await expect(loadPolicy("package agent_policy\n\nA := {\n", "p.rego")).rejects.toMatchObject({
      code: "input",
      message: expect.stringMatching(/p\.rego:\d+:\d+/u),
    });
  });

  it("decides on a request in protobuf's JSON", async () => {
    const engine = await loadPolicy(POLICY, "p.rego");
    const ask = (args: readonly string[]): Promise<object> =>
      askPolicy(engine, "ExecProcessRequest", JSON.stringify({ process: { Args: args } }), false);
    expect(await ask(["ls", "-l"])).toEqual({ allowed: true, prints: ['p.rego:7: asked for ["ls", "-l"]'] });
    expect(await ask(["rm"])).toMatchObject({ allowed: false, prints: ['p.rego:7: asked for ["rm"]'] });
  });

  it("takes the input as it is for rules without a message, and where told to", async () => {
    const engine = await loadPolicy(POLICY, "p.rego");
    expect(await askPolicy(engine, "PulledImageRequest", '{"anything":1}', false)).toMatchObject({ allowed: true });
    const raw = '{"process":{"Args":["ls"]},"of":"another agent"}';
    expect(await askPolicy(engine, "ExecProcessRequest", raw, true)).toMatchObject({ allowed: true });
    await expect(askPolicy(engine, "ExecProcessRequest", raw, false)).rejects.toMatchObject({ code: "input" });
  });

  it("tells apart a rule that is not there", async () => {
    const engine = await loadPolicy(POLICY, "p.rego");
    await expect(askPolicy(engine, "StartContainerRequest", "{}", false)).rejects.toMatchObject({
      code: "input",
      message: expect.stringMatching(/^StartContainerRequest: policy check: unexpected eval_query result/u),
    });
  });
});
