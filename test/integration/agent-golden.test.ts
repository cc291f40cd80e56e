import { readFileSync } from "node:fs";
import { join } from "node:path";

import { AgentService, fromJson, Health, type MethodDescriptor, toJson } from "@nacre/protocols";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { UNIMPLEMENTED_METHODS } from "../../packages/kata-agent/src/service/unimplemented.ts";
import { startAgent, type TestAgent } from "../fixtures/agent-harness.ts";
import { DIFFERENCES } from "../fixtures/agent-golden-differences.ts";
import { type RawReply, RawTtrpc } from "../fixtures/raw-ttrpc.ts";
import { jsonLines, vectors } from "../setup/data.ts";

/** One recorded exchange with the real agent. */
interface Row {
  readonly id: string;
  readonly section: string;
  readonly policy: string;
  readonly service: string;
  readonly method: string;
  readonly request?: Record<string, unknown>;
  readonly request_b64?: string | null;
  readonly request_len?: number;
  readonly timeout_ns?: number;
  readonly metadata?: ReadonlyArray<readonly [string, string]>;
  readonly reply?: Record<string, unknown>;
  readonly code?: number;
  readonly message?: string;
  readonly pending?: boolean;
  readonly connection?: string;
  readonly volatile?: string;
  readonly reply_metric_families?: readonly string[];
  readonly environment?: boolean;
  readonly note?: string;
}

const METHODS: Readonly<Record<string, MethodDescriptor<never, never>>> = {
  ...(AgentService.methods as unknown as Record<string, MethodDescriptor<never, never>>),
  ...(Health.methods as unknown as Record<string, MethodDescriptor<never, never>>),
};

/** Methods of later issues are compared only where the policy answers for them. */
const LATER: ReadonlySet<string> = new Set<string>(UNIMPLEMENTED_METHODS);

/** Rows of a frame type that has no answer: there is nothing to compare, and waiting would be a timed assertion. */
const UNANSWERED = new Set(["wire/response-frame-from-client", "wire/unknown-frame-type"]);

/** Rows recorded after the row that answers them, but sent before it. */
const SENT_BEFORE: ReadonlyMap<string, readonly string[]> = new Map([
  // Both waits were under way when the container ended; so is the read here, since their answers forget the process.
  ["run/stdin", ["run/stdout-got", "run/wait-concurrent-1", "run/wait-concurrent-2-empty-exec-id"]],
  ["sandbox/destroy", ["sandbox/oom-pending-at-destroy", "sandbox/oom-second-pending-at-destroy"]],
]);

/** The recorder took its time: rows that found a container ended, whose terminal has been closed by the row before. */
const AFTER_THE_END: ReadonlyMap<string, string> = new Map([["run/tty-exec", "tty1"]]);

/** Reads what a process still prints, until its terminal is gone. */
async function outlive(client: RawTtrpc, container: string): Promise<void> {
  const { ReadStdout } = AgentService.methods;
  const payload = ReadStdout.encodeRequest({ container_id: container, exec_id: container, len: 100 });
  const read = { service: "grpc.AgentService", method: "ReadStdout", payload };
  for (;;) {
    const reply = await client.call(read);
    if (reply.kind === "reply") continue;
    expect(reply).toMatchObject({ code: 13, message: expect.stringContaining("os error 5") as string });
    return;
  }
}

function relevant(row: Row): boolean {
  if (row.environment === true || UNANSWERED.has(row.id)) return false;
  const answered = row.reply !== undefined || row.code !== undefined || row.connection !== undefined;
  // What the recorder could not write as one answer: `pending`, or data whose length is in a note.
  if (!answered && row.pending !== true) return !LATER.has(row.method);
  if (!LATER.has(row.method)) return true;
  return row.code === 7 || (row.message ?? "").includes("internal error") || row.method === "ResizeVolume";
}

/** The payload of a row; long ones are described instead of recorded. */
function payloadOf(row: Row): Uint8Array {
  if (typeof row.request_b64 === "string") return Buffer.from(row.request_b64, "base64");
  if (row.request_b64 === null) {
    // A CheckRequest whose service is filled up to the recorded length: tag, three or four bytes of length, text.
    const length = row.request_len ?? 0;
    for (let text = length - 6; text <= length; text++) {
      const bytes = Health.methods.Check.encodeRequest({ service: "x".repeat(text) });
      if (bytes.length === length) return bytes;
    }
    throw new Error(`${row.id}: no request of ${length} bytes`);
  }
  const method = METHODS[row.method];
  if (method === undefined) return new Uint8Array();
  const request = { ...row.request };
  if (typeof request["data"] === "string" && request["data"].startsWith("<1048576 zero bytes")) {
    request["data"] = Buffer.alloc(1_048_576).toString("base64");
  }
  if (typeof request["policy"] === "string" && request["policy"].startsWith("<allow-all style policy")) {
    request["policy"] = `${policies["allow-all"] ?? ""}\n#${"x".repeat(70_001)}\n`;
  }
  return method.encodeRequest(fromJson(method.requestType, request) as never);
}

function send(client: RawTtrpc, row: Row): Promise<RawReply> {
  const request = {
    service: row.service,
    method: row.method,
    payload: payloadOf(row),
    ...(row.timeout_ns === undefined ? {} : { timeoutNano: BigInt(row.timeout_ns) }),
    ...(row.metadata === undefined ? {} : { metadata: row.metadata }),
  };
  switch (row.id) {
    case "wire/garbage-envelope":
    case "wire/empty-envelope":
      return client.frame(1, payloadOf(row));
    case "wire/data-frame-unknown-stream":
      return client.frame(3, payloadOf(row), { streamId: 9001 });
    case "wire/even-stream-id":
      return client.call(request, { streamId: 1000 });
    case "wire/stream-id-0":
      return client.call(request, { streamId: 0 });
    case "wire/stream-id-lower":
      return client.call(request, { streamId: 1 });
    case "wire/flags-remote-closed":
      return client.call(request, { flags: 1 });
    case "wire/flags-remote-open":
      return client.call(request, { flags: 2 });
    case "wire/flags-no-data":
      return client.call(request, { flags: 4 });
    default:
      return client.call(request);
  }
}

/** The answer in the recording's own form. */
function shown(row: Row, reply: RawReply): Record<string, unknown> {
  if (reply.kind === "closed") return { connection: "closed" };
  if (reply.kind === "status") return { code: reply.code, message: reply.message };
  const method = METHODS[row.method];
  if (method === undefined) return { reply: {} };
  return { reply: comparable(row, toJson(method.responseType, method.decodeResponse(reply.payload))) };
}

/** Values that vary from run to run: of these only the members are compared, or nothing where they vary, too. */
function comparable(row: Row, reply: unknown): unknown {
  if (row.method === "StatsContainer") return { cgroup_stats: "present" };
  if (row.method === "GetGuestDetails") {
    const details = structuredClone(reply) as {
      mem_block_size_bytes?: string;
      agent_details?: Record<string, unknown>;
    };
    delete details.agent_details?.["storage_handlers"];
    if (details.mem_block_size_bytes !== undefined) details.mem_block_size_bytes = "present";
    return details;
  }
  if (row.method === "GetMetrics") return "families";
  if (row.id === "run/exec-nocaps-out") return "shape only";
  if (row.section === "net") return withoutLinkLocal(reply);
  return reply;
}

/** The kernel gives and takes these addresses when it sees the carrier, which is when it likes. */
function withoutLinkLocal(reply: unknown): unknown {
  const isLinkLocal = (text: unknown): boolean => typeof text === "string" && text.startsWith("fe80::");
  const { Interfaces, Routes, ...rest } = reply as {
    Interfaces?: ReadonlyArray<{ IPAddresses?: ReadonlyArray<{ address?: string }> }>;
    Routes?: ReadonlyArray<{ dest?: string }>;
  };
  return {
    ...rest,
    ...(Interfaces === undefined
      ? {}
      : {
          Interfaces: Interfaces.map(({ IPAddresses = [], ...link }) => ({
            ...link,
            IPAddresses: IPAddresses.filter(({ address }) => !isLinkLocal(address)),
          })),
        }),
    ...(Routes === undefined ? {} : { Routes: Routes.filter(({ dest }) => !isLinkLocal(dest)) }),
  };
}

/** What the recorder had prepared beside the usual namespaces. */
const PREPARED: ReadonlyMap<string, string> = new Map([
  ["net", "ip link add gold0 address 02:00:00:00:00:01 type veth peer name gold1 address 02:00:00:00:00:02"],
]);

/** Our replies may name causes where the recorded one has none: callers match on the beginning. */
function withoutOwnCauses(ours: Record<string, unknown>, row: Row): Record<string, unknown> {
  const { message } = ours;
  const recordedText = row.message ?? "";
  const starts = recordedText.endsWith('"')
    ? // Quoted with its causes.
      `${recordedText.slice(0, -1)}\\n\\nCaused by:\\n`
    : `${recordedText}\n\nCaused by:\n`;
  return typeof message === "string" && message.startsWith(starts) ? { ...ours, message: row.message } : ours;
}

/** Which figures there are: their values and labels are the machine's. No component runs here. */
function metricFamilies(row: Row, reply: RawReply): void {
  if (row.reply_metric_families === undefined || reply.kind !== "reply") return;
  const { metrics } = AgentService.methods.GetMetrics.decodeResponse(reply.payload);
  const families = [...metrics.matchAll(/^# TYPE (\S+ \S+)$/gmu)].map(([, family]) => family);
  // A machine may have no disks, or none that is written to.
  const there = (family: string): boolean => !/filesystem|diskstat/u.test(family) || families.includes(family);
  expect(families).toEqual(row.reply_metric_families.filter(there));
}

function recorded(row: Row): Record<string, unknown> {
  if (row.connection !== undefined) return { connection: row.connection };
  if (row.pending === true) return { pending: true };
  if (row.code !== undefined) return { code: row.code, message: row.message };
  return { reply: comparable(row, row.reply) };
}

const data = vectors("golden");
const rows = data === undefined ? [] : jsonLines<Row>(join(data, "agent.jsonl"));
const policies: Record<string, string> =
  data === undefined ? {} : (JSON.parse(readFileSync(join(data, "policies.json"), "utf8")) as Record<string, string>);
const seen = new Set<string>();

for (const [section, own] of Map.groupBy(rows.filter(relevant), ({ section }) => section)) {
  describe(`recorded section ${section}`, () => {
    let agent: TestAgent;
    let client: RawTtrpc;
    const answers = new Map<string, Promise<RawReply>>();

    beforeAll(async () => {
      const policyName = own[0]?.policy ?? "";
      agent = await startAgent({
        policy: policies[policyName] ?? "",
        policyName,
        prepare: PREPARED.get(section) ?? "true",
      });
      client = await RawTtrpc.connect(agent.socket);
    });

    afterAll(async () => {
      client.close();
      await agent.stop();
    });

    for (const row of own) {
      seen.add(row.id);
      const difference = DIFFERENCES.find(({ id }) => (typeof id === "string" ? id === row.id : id.test(row.id)));
      it(difference === undefined ? row.id : `${row.id} (differs: ${difference.why})`, async () => {
        const ended = AFTER_THE_END.get(row.id);
        if (ended !== undefined) await outlive(client, ended);
        for (const id of SENT_BEFORE.get(row.id) ?? []) {
          const early = own.find((other) => other.id === id);
          if (early !== undefined) answers.set(id, send(client, early));
        }
        const answer = answers.get(row.id) ?? send(client, row);
        metricFamilies(row, await answer);
        const ours = withoutOwnCauses(shown(row, await answer), row);
        if (difference === undefined) expect(ours).toEqual(recorded(row));
        else {
          expect(ours).toMatchObject(difference.ours);
          // A difference that went away must leave the table.
          expect(ours).not.toEqual(recorded(row));
        }
      });
    }
  });
}

describe("the table of differences", () => {
  // Which rows there are is known only where the recording is.
  if (data !== undefined) {
    it("names recorded rows only", () => {
      for (const { id } of DIFFERENCES) {
        expect([...seen].some((row) => (typeof id === "string" ? id === row : id.test(row)))).toBe(true);
      }
    });
  }

  it("gives a reason for each", () => {
    for (const { why } of DIFFERENCES) expect(why).toMatch(/\w{3}/);
  });
});
