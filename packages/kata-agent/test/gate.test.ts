import { type Decision, PolicyError, ruleName } from "@nacre/agent-policy";
import { AgentService, type grpc } from "@nacre/protocols";
import { describe, expect, it } from "vitest";

import type { Flavour } from "../src/flavour.ts";
import { PolicyGate } from "../src/gate.ts";
import { createLogger } from "../src/log.ts";
import { pulledImage } from "../src/pulled-image.ts";

const { CopyFile, CreateContainer, MemAgentMemcgSet, ReadStderr, RemoveContainer, StartContainer } =
  AgentService.methods;
const forever = new AbortController().signal;
const request: grpc.StartContainerRequest = { container_id: "c1" };

type Answer = Decision | Error;

interface Told {
  readonly asked?: Array<[string, string]>;
  readonly options?: object[];
  readonly log?: string[];
  readonly flavour?: Flavour;
  readonly mentioned?: boolean;
}

function gateWith(answer: Answer, told: Told = {}): PolicyGate {
  const { asked, options, log, flavour = "devkit", mentioned = true } = told;
  return new PolicyGate(
    {
      check: (rule, input, given) => {
        asked?.push([rule, input]);
        options?.push(given ?? {});
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      },
      mentions: (rule) => mentioned && rule === "PulledImageRequest",
    },
    createLogger({ level: "trace", version: "0", pid: 1, write: (line) => void log?.push(line) }),
    flavour,
  );
}

describe("ruleName", () => {
  it.each([
    [StartContainer, "StartContainerRequest"],
    [ReadStderr, "ReadStreamRequest"],
    [MemAgentMemcgSet, "MemAgentMemcgConfig"],
  ])("is the name of the request's message", (method, rule) => {
    expect(ruleName(method)).toBe(rule);
  });
});

describe("PolicyGate.require", () => {
  it("asks the rule with the request as the policy sees it", async () => {
    const asked: Array<[string, string]> = [];
    await gateWith({ allowed: true, prints: [] }, { asked }).require(StartContainer, request, forever);
    expect(asked).toEqual([["StartContainerRequest", '{"container_id":"c1"}']]);
  });

  it("refuses with the quoted text that callers look for, prints in one line", async () => {
    const gate = gateWith({ allowed: false, prints: ['agent_policy:3: say "no"', "agent_policy:4: two\nlines"] });
    await expect(gate.require(StartContainer, request, forever)).rejects.toMatchObject({
      code: 7,
      message: '"StartContainerRequest is blocked by policy: agent_policy:3: say \\"no\\" agent_policy:4: two\\nlines"',
    });
  });

  it.each(["evaluation", "timeout", "trap"] as const)("answers INTERNAL when there is no answer: %s", async (code) => {
    const gate = gateWith(new PolicyError(code, "policy check: it failed"));
    await expect(gate.require(StartContainer, request, forever)).rejects.toMatchObject({
      code: 13,
      message: '"StartContainerRequest: internal error policy check: it failed"',
    });
  });

  it("does not hide our own mistakes as the policy's", async () => {
    await expect(gateWith(new TypeError("bug")).require(StartContainer, request, forever)).rejects.toThrow(TypeError);
  });

  it("says which container a request is about, and whether it creates or removes it", async () => {
    const options: object[] = [];
    const gate = gateWith({ allowed: true, prints: [] }, { options });
    const decoded = CreateContainer.decodeRequest(new Uint8Array());
    await gate.require(CreateContainer, { ...decoded, container_id: "c9" }, forever);
    await gate.require(StartContainer, request, forever);
    await gate.require(
      RemoveContainer,
      { ...RemoveContainer.decodeRequest(new Uint8Array()), container_id: "c1" },
      forever,
    );
    await gate.require(CopyFile, CopyFile.decodeRequest(new Uint8Array()), forever);
    expect(options).toEqual([
      { signal: forever, container: "c9", creates: true, removes: false },
      { signal: forever, container: "c1", creates: false, removes: false },
      { signal: forever, container: "c1", creates: false, removes: true },
      { signal: forever },
    ]);
  });

  it("refuses what cannot be put into words before it asks", async () => {
    const asked: Array<[string, string]> = [];
    const copy: grpc.CopyFileRequest = {
      path: "/x",
      file_size: 0n,
      file_mode: 0o120777,
      dir_mode: 0,
      uid: 0,
      gid: 0,
      offset: 0n,
      data: Uint8Array.of(0xff),
    };
    await expect(
      gateWith({ allowed: true, prints: [] }, { asked }).require(CopyFile, copy, forever),
    ).rejects.toMatchObject({ code: 13, message: "parsing CopyFileRequest for policy" });
    expect(asked).toEqual([]);
  });
});

describe("PolicyGate.requireImage", () => {
  const pulled = pulledImage("c1", "registry.example/app:1", {
    manifest_digest: "sha256:aa",
    index_digest: "sha256:bb",
    config_digest: "sha256:cc",
    diff_ids: ["sha256:dd"],
  });
  const no: Answer = { allowed: false, prints: ["f:1: not that one"] };
  const blocked = { code: 7, message: '"PulledImageRequest is blocked by policy: f:1: not that one"' };

  it("asks the rule with all that is known of the image", async () => {
    const asked: Array<[string, string]> = [];
    await gateWith({ allowed: true, prints: [] }, { asked }).requireImage(pulled, forever);
    expect(asked.map(([rule, input]) => [rule, JSON.parse(input) as unknown])).toEqual([
      [
        "PulledImageRequest",
        {
          container_id: "c1",
          image: "registry.example/app:1",
          index_digest: "sha256:bb",
          manifest_digest: "sha256:aa",
          config_digest: "sha256:cc",
          diff_ids: ["sha256:dd"],
        },
      ],
    ]);
  });

  it("says what a hub did not say as null", async () => {
    const asked: Array<[string, string]> = [];
    const reply = { manifest_digest: "sha256:aa", index_digest: null, config_digest: null, diff_ids: [] };
    await gateWith({ allowed: true, prints: [] }, { asked }).requireImage(pulledImage("c1", "app", reply), forever);
    expect(asked[0]?.[1]).toBe(
      '{"container_id":"c1","image":"app","index_digest":null,"manifest_digest":"sha256:aa","config_digest":null,"diff_ids":[]}',
    );
  });

  it.each<Flavour>(["devkit", "kata", "strict"])("refuses what the rule refuses, in %s", async (flavour) => {
    await expect(gateWith(no, { flavour }).requireImage(pulled, forever)).rejects.toMatchObject(
      flavour === "strict" ? { code: 7, message: '"PulledImageRequest is blocked by policy: "' } : blocked,
    );
    const undefinedRule = gateWith(new PolicyError("evaluation", "undefined"), { flavour });
    await expect(undefinedRule.requireImage(pulled, forever)).rejects.toMatchObject({ code: 13 });
  });

  it("a policy without the rule does not pin images: strict starts none", async () => {
    const asked: Array<[string, string]> = [];
    for (const flavour of ["devkit", "kata"] as const) {
      await gateWith(no, { asked, flavour, mentioned: false }).requireImage(pulled, forever);
    }
    // Nor where the policy lets through what it has no rule for.
    const strict = gateWith({ allowed: true, prints: [] }, { asked, flavour: "strict", mentioned: false });
    await expect(strict.requireImage(pulled, forever)).rejects.toMatchObject({
      code: 7,
      message: '"PulledImageRequest is blocked by policy: "',
    });
    expect(asked).toEqual([]);
  });
});

describe("what a flavour tells of a refusal", () => {
  const refusal: Decision = {
    allowed: false,
    prints: ["agent_policy:3: no"],
    explanation: {
      rule: "StartContainerRequest",
      file: "agent_policy",
      steps: [
        {
          rule: "StartContainerRequest",
          line: 4,
          text: "input.token == data.token",
          operands: [{ text: "input.token", value: "TOKEN=hunter2", role: "actual" }],
        },
      ],
    },
  };

  it.each<[Flavour, string, boolean]>([
    ["devkit", '"StartContainerRequest is blocked by policy: agent_policy:3: no"', true],
    ["kata", '"StartContainerRequest is blocked by policy: agent_policy:3: no"', false],
    ["strict", '"StartContainerRequest is blocked by policy: "', false],
  ])("%s", async (flavour, message, explained) => {
    const log: string[] = [];
    const gate = gateWith(refusal, { log, flavour });
    await expect(gate.require(StartContainer, request, forever)).rejects.toMatchObject({ code: 7, message });
    const written = log.join("");
    expect(written.includes("agent_policy:4: input.token == data.token")).toBe(explained);
    expect(written).not.toContain("hunter2");
    expect(written.includes("agent_policy:3: no")).toBe(flavour !== "strict");
  });

  it("strict tells of an error no more than its kind", async () => {
    const log: string[] = [];
    const gate = gateWith(new PolicyError("evaluation", "line 5 of the policy"), { log, flavour: "strict" });
    await expect(gate.require(StartContainer, request, forever)).rejects.toMatchObject({
      code: 13,
      message: '"StartContainerRequest: internal error evaluation"',
    });
    expect(log.join("")).not.toContain("line 5");
  });
});

describe("PolicyGate.allows", () => {
  const read: grpc.ReadStreamRequest = { container_id: "c1", exec_id: "", len: 10 };

  it.each<[string, Answer, boolean]>([
    ["yes", { allowed: true, prints: [] }, true],
    ["no", { allowed: false, prints: [] }, false],
    ["nothing", new PolicyError("evaluation", "undefined"), false],
  ])("takes %s", async (_what, answer, expected) => {
    expect(await gateWith(answer).allows(ReadStderr, read, forever)).toBe(expected);
  });

  it("passes a caller's end on", async () => {
    const gone = AbortSignal.abort(new Error("gone"));
    await expect(gateWith(new Error("gone")).allows(ReadStderr, read, gone)).rejects.toThrow("gone");
  });
});
