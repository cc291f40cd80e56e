import { AgentService } from "@nacre/protocols";
import { afterEach, describe, expect, it } from "vitest";
import { startTestGuest, type TestGuest } from "../fixtures/test-guest.ts";
import { replayLines, replayTrace, type TraceReply, type TraceRequest } from "../fixtures/trace-replay.ts";
import { vectors } from "../setup/data.ts";

const traces = vectors("traces");

/** Section 9.5 of the agent's spec: what the recorded runtime goes on with even when it is an error. */
const TOLERATED = new Set(["GetOOMEvent", "RemoveStaleVirtiofsShareMounts", "RemoveContainer", "DestroySandbox"]);
/** Replies that a lost connection may swallow at the end, when DestroySandbox ends the agent. */
const LAST = new Set(["GetOOMEvent", "DestroySandbox"]);

/** Where the recordings are absent, the same code runs on these: Health.Check, GetGuestDetails, DestroySandbox. */
const OWN_FRAMES: readonly TraceRequest[] = [
  ["grpc.Health", "Check"],
  ["grpc.AgentService", "GetGuestDetails"],
  ["grpc.AgentService", "DestroySandbox"],
].map(([service = "", method = ""], i) => ({
  n: i + 1,
  repliesBefore: i,
  dir: "req",
  stream: 2 * i + 1,
  service,
  method,
  // field 1: service, field 2: method, both length-delimited
  frame_b64: Buffer.concat([
    Buffer.from([0x0a, service.length]),
    Buffer.from(service),
    Buffer.from([0x12, method.length]),
    Buffer.from(method),
  ]).toString("base64"),
}));

/** The text that one exec's or container's stream gave, in the order of its reads. */
function streamText(
  replies: ReadonlyMap<number, TraceReply>,
  method: "ReadStdout" | "ReadStderr",
  args: string,
): string {
  let text = "";
  const execId = execIdOf(replies, args);
  for (const { line, code, payload } of replies.values()) {
    if (line.method !== method || line.body?.["exec_id"] !== execId || code !== 0) continue;
    text += Buffer.from(AgentService.methods[method].decodeResponse(payload).data).toString("utf8");
  }
  return text;
}

function execIdOf(replies: ReadonlyMap<number, TraceReply>, args: string): string {
  for (const { line } of replies.values()) {
    const process = (line.body?.["process"] ??
      (line.body?.["OCI"] as Record<string, unknown> | undefined)?.["Process"]) as { Args?: string[] } | undefined;
    if (process?.Args?.join(" ") === args) return line.body?.["exec_id"] as string;
  }
  throw new Error(`expected a process ${args} in the recording`);
}

function exitStatus(replies: ReadonlyMap<number, TraceReply>, args: string): number | undefined {
  const execId = execIdOf(replies, args);
  for (const { line, code, payload } of replies.values()) {
    if (line.method === "WaitProcess" && line.body?.["exec_id"] === execId && code === 0)
      return AgentService.methods.WaitProcess.decodeResponse(payload).status;
  }
  return undefined;
}

describe("a run replayed frame by frame", () => {
  let guest: TestGuest | undefined;
  afterEach(async () => {
    await guest?.stop();
    guest = undefined;
  });

  const run = async (name: string): Promise<Map<number, TraceReply>> => {
    guest = await startTestGuest({ policy: "allow-all", registryName: "registry.example", tag: "peers/busybox:1.35" });
    return await replayTrace(`${traces}/${name}.jsonl`, guest.agentSocket);
  };
  /** Every waited-for reply is one with which the runtime goes on; the rest answered with a status at least. */
  const expectGoesOn = (replies: ReadonlyMap<number, TraceReply>, refusedExecs: ReadonlySet<string>): void => {
    const bad: string[] = [];
    for (const { line, code, message } of replies.values()) {
      const exec = line.body?.["exec_id"];
      if (code === 0 || TOLERATED.has(line.method ?? "")) continue;
      if (typeof exec === "string" && refusedExecs.has(exec)) continue;
      // The second WaitProcess of a process that was collected, and a terminal's end: the runtime ignores both.
      if (line.method === "WaitProcess" && code === 5) continue;
      if (line.method === "ReadStdout" && message.includes("os error 5")) continue;
      bad.push(`${line.n} ${line.method}: ${code} ${message}`);
    }
    expect(bad).toEqual([]);
  };

  it("our own frames: check, details, the end", async () => {
    guest = await startTestGuest({ policy: "allow-all" });
    const replies = await replayLines(OWN_FRAMES, guest.agentSocket);
    expectGoesOn(replies, new Set());
    expect(replies.get(1)?.payload.toString("hex")).toBe("0801");
    expect(
      AgentService.methods.GetGuestDetails.decodeResponse(replies.get(2)?.payload ?? Buffer.alloc(0)).agent_details
        ?.version,
    ).toBe("4.1.0");
    await guest.ended;
  });

  if (traces === undefined) return;

  it("basic: containers, execs, stats, update, pause, signals, removal", async () => {
    const replies = await run("basic");
    expectGoesOn(replies, new Set());
    const unanswered = [...replies.values()].filter((r) => !LAST.has(r.line.method ?? ""));
    expect(unanswered.length).toBeGreaterThanOrEqual(75 - LAST.size);
    expect(streamText(replies, "ReadStdout", "/bin/echo exec says hi")).toBe("exec says hi\n");
    expect(exitStatus(replies, "/bin/echo exec says hi")).toBe(0);
    expect(exitStatus(replies, "/bin/false")).toBe(1);
    expect(streamText(replies, "ReadStdout", "/bin/cat")).toBe("line one\nline two\n");
    expect(exitStatus(replies, "/bin/cat")).toBe(0);
    expect(streamText(replies, "ReadStdout", "/bin/echo short life")).toBe("short life\n");
    expect(exitStatus(replies, "/bin/sleep 1000")).toBe(137);
    await guest?.ended;
  });

  it("policy: the exec is refused and all else allowed", async () => {
    const replies = await run("policy");
    const execs = [...replies.values()].filter((r) => r.line.method === "ExecProcess");
    expect(execs).toHaveLength(3);
    for (const { code, message } of execs) {
      expect(code).toBe(7);
      expect(message).toBe('"ExecProcessRequest is blocked by policy: "');
    }
    expectGoesOn(replies, new Set(execs.map((r) => r.line.body?.["exec_id"] as string)));
    expect(streamText(replies, "ReadStdout", "/bin/echo short life")).toBe("short life\n");
    await guest?.ended;
  });

  it("tty: a terminal container, an exec with a terminal, two resizes", async () => {
    const replies = await run("tty");
    expectGoesOn(replies, new Set());
    const resizes = [...replies.values()].filter((r) => r.line.method === "TtyWinResize");
    expect(resizes.map((r) => r.code)).toEqual([0, 0]);
    await guest?.ended;
  });
});
