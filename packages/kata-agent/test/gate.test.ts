import { PolicyError, ruleName } from "@nacre/agent-policy";
import { AgentService, type grpc } from "@nacre/protocols";
import { describe, expect, it } from "vitest";

import { PolicyGate } from "../src/gate.ts";
import { createLogger } from "../src/log.ts";

const { CopyFile, MemAgentMemcgSet, ReadStderr, StartContainer } = AgentService.methods;
const forever = new AbortController().signal;
const request: grpc.StartContainerRequest = { container_id: "c1" };

type Answer = { allowed: boolean; prints: string[] } | Error;

function gateWith(answer: Answer, asked: Array<[string, string]> = []): PolicyGate {
  return new PolicyGate(
    {
      check: (rule, input) => {
        asked.push([rule, input]);
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      },
    },
    createLogger({ level: "trace", version: "0", pid: 1, write: () => undefined }),
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
    await gateWith({ allowed: true, prints: [] }, asked).require(StartContainer, request, forever);
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
    await expect(gateWith({ allowed: true, prints: [] }, asked).require(CopyFile, copy, forever)).rejects.toMatchObject(
      {
        code: 13,
        message: "parsing CopyFileRequest for policy",
      },
    );
    expect(asked).toEqual([]);
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
