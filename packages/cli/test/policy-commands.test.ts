import { EventEmitter } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, describe, expect, it } from "vitest";
import { COMMANDS } from "../src/commands/index.ts";
import { Interrupts } from "../src/interrupts.ts";
import { nacre } from "../src/nacre.ts";

const dir = mkdtempSync(join(tmpdir(), "nacre-policy-"));
afterAll(() => rmSync(dir, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(dir, name);
  writeFileSync(path, text);
  return path;
}

async function run(...argv: readonly string[]): Promise<{ status: number; out: string; err: string }> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const streams = { stdin: new PassThrough(), stdout, stderr } as unknown as Pick<
    Parameters<typeof nacre>[2],
    "stdin" | "stdout" | "stderr"
  >;
  const interrupts = new Interrupts(new EventEmitter());
  const status = await nacre(COMMANDS, argv, { ...streams, env: {}, interrupts });
  return { status, out: String(stdout.read() ?? ""), err: String(stderr.read() ?? "") };
}

const POLICY = file(
  "policy.rego",
  `package agent_policy

default CreateContainerRequest := false
default StartContainerRequest := false
default ExecProcessRequest := false

CreateContainerRequest := {"allowed": true, "ops": [{"op": "add", "path": "/pstate/c1", "value": 1}]} if {
  input.OCI.Process.Cwd == "/"
}

StartContainerRequest if data.pstate[input.container_id]

ExecProcessRequest if input.process.Args == ["/bin/true"]
`,
);
const OPEN = file(
  "open.rego",
  "package agent_policy\ndefault CreateContainerRequest := true\ndefault StartContainerRequest := true\n",
);
const RECORDING = file(
  "recording.jsonl",
  [
    '{"mark":"a pod"}',
    '{"method":"StartContainer","body":{"container_id":"c1"}}',
    '{"method":"CreateContainer","body":{"container_id":"c1","OCI":{"Process":{"Cwd":"/"}}}}',
    '["ep":"StartContainerRequest",{"container_id":"c1"}],',
    '{"kind":"ExecProcessRequest","request":{"process":{"Args":["sh"]}}}',
    '{"method":"Check","service":"grpc.Health","body":{}}',
    "",
  ].join("\n"),
);

describe("nacre policy check with a recording", () => {
  it("is a table of verdicts, each with the state that those before it left", async () => {
    const { status, out } = await run("policy", "check", POLICY, RECORDING);
    expect(status).toBe(1);
    expect(out.split("\n").map((line) => line.replace(/^\S*recording/u, "").replaceAll(/ {2,}/gu, " | "))).toEqual([
      "REQUEST | RULE | VERDICT | WHY",
      ".jsonl:2 | StartContainerRequest | refused | line 11: data.pstate[input.container_id]",
      ".jsonl:3 | CreateContainerRequest | allowed",
      ".jsonl:4 | StartContainerRequest | allowed",
      '.jsonl:5 | ExecProcessRequest | refused | line 13: input.process.Args == ["/bin/true"]',
      "",
    ]);
  });

  it("says where a recording is none", async () => {
    const bad = file("bad.jsonl", "no JSON\n");
    expect(await run("policy", "check", POLICY, bad)).toMatchObject({
      status: 1,
      err: expect.stringContaining("bad.jsonl:1: expected a recorded request") as string,
    });
    const empty = file("empty.jsonl", '{"mark":"nothing"}\n');
    expect(await run("policy", "check", POLICY, empty)).toMatchObject({
      status: 1,
      err: "nacre: no request in what was recorded\n",
    });
  });
});

describe("nacre policy diff", () => {
  it("says which requests change verdict", async () => {
    const { status, out } = await run("policy", "diff", POLICY, OPEN, RECORDING, "--json");
    expect(status).toBe(1);
    expect(JSON.parse(out)).toEqual({
      requests: 4,
      changes: [
        {
          where: expect.stringMatching(/:2$/u) as string,
          rule: "StartContainerRequest",
          old: "refused",
          new: "allowed",
          why: "line 11: data.pstate[input.container_id]",
        },
        {
          where: expect.stringMatching(/:5$/u) as string,
          rule: "ExecProcessRequest",
          old: "refused",
          new: "no answer",
          why: "policy check: unexpected eval_query result len QueryResults { result: [] }",
        },
      ],
    });
  });

  it("of a policy and itself is nothing", async () => {
    expect(await run("policy", "diff", POLICY, POLICY, RECORDING)).toMatchObject({
      status: 0,
      out: "4 requests, the same verdicts\n",
    });
  });
});

describe("nacre policy explain", () => {
  it("shows the failing expression, its line, expected and actual value", async () => {
    const request = file("request.json", '{"OCI":{"Process":{"Cwd":"/tmp"}}}');
    const { status, out } = await run(
      "policy",
      "explain",
      "--policy",
      POLICY,
      "--request",
      request,
      "--rule",
      "CreateContainerRequest",
    );
    expect(status).toBe(1);
    expect(out.replaceAll(`${dir}/`, "")).toBe(
      'CreateContainerRequest: refused\n  policy.rego:8: input.OCI.Process.Cwd == "/"  is not so  (in CreateContainerRequest)\n' +
        '    input.OCI.Process.Cwd: "/tmp"\n',
    );
  });

  it("takes the last of a recording, and makes the state of the others", async () => {
    const lines = '{"method":"CreateContainer","body":{"container_id":"c1","OCI":{"Process":{"Cwd":"/"}}}}\n';
    const start = (id: string): string => `{"method":"StartContainer","body":{"container_id":"${id}"}}\n`;
    const known = file("known.jsonl", lines + start("c1"));
    expect(await run("policy", "explain", "--policy", POLICY, "--request", known)).toMatchObject({
      status: 0,
      out: "StartContainerRequest: allowed\n",
    });
    const unknown = file("unknown.jsonl", lines + start("c2"));
    expect((await run("policy", "explain", "--policy", POLICY, "--request", unknown)).out).toContain(
      "data.pstate[input.container_id]: undefined",
    );
  });

  it("needs to know the rule", async () => {
    expect(await run("policy", "explain", "--policy", POLICY)).toMatchObject({ status: 2 });
    const request = file("alone.json", '{"container_id":"c"}');
    expect(await run("policy", "explain", "--policy", POLICY, "--request", request)).toMatchObject({
      status: 1,
      err: "nacre: no recorded request; a request alone needs --rule\n",
    });
  });
});
