import { describe, expect, it } from "vitest";
import { AgentService, decode, encode, fromJson, Health, type MethodDescriptor, toJson } from "@nacre/protocols";
import { jsonLines, vectors } from "../setup/data.ts";

/** A recorded call of the real Rust agent. */
interface Row {
  readonly id: string;
  readonly service: string;
  readonly method: string;
  readonly request?: object | null;
  readonly reply?: object;
}

const OWN: readonly Row[] = [
  {
    id: "own/details",
    service: "grpc.AgentService",
    method: "GetGuestDetails",
    request: { mem_block_size: true },
    reply: { mem_block_size_bytes: "134217728", agent_details: { version: "4.1.0", extra_features: ["seccomp"] } },
  },
  { id: "own/check", service: "grpc.Health", method: "Check", request: {}, reply: { status: "SERVING" } },
];

/** Its data is a description in angle brackets instead of a megabyte of base64. */
const ABBREVIATED = "copy/big-1mib";

const file = vectors("golden/agent.jsonl");
const rows = file === undefined ? OWN : jsonLines<Row>(file);
const methods: Readonly<Record<string, Readonly<Record<string, MethodDescriptor<unknown, unknown>>>>> = {
  "grpc.AgentService": AgentService.methods,
  "grpc.Health": Health.methods,
};

/** Every name must be ours, and the bytes must carry everything. */
function roundTrip(type: string, json: object): void {
  const message = fromJson(type, json);
  expect(decode(type, encode(type, message))).toEqual(message);
  expect(fromJson(type, toJson(type, message))).toEqual(message);
}

describe("golden requests and replies", () => {
  const known = rows.flatMap((row) => {
    const method = methods[row.service]?.[row.method];
    return method === undefined || row.id === ABBREVIATED ? [] : [{ row, method }];
  });

  it("are for methods that we define", () => {
    const strange = rows.filter((row) => methods[row.service]?.[row.method] === undefined);
    expect(strange.every((row) => row.id.startsWith("wire/"))).toBe(true);
    expect(known.length).toBeGreaterThan(1);
  });

  it("have no name that our definitions lack", () => {
    for (const { row, method } of known) {
      if (row.request) roundTrip(method.requestType, row.request);
      if (row.reply) roundTrip(method.responseType, row.reply);
    }
  });
});
