import { describe, expect, it } from "vitest";
import { decode, encode, fromJson, toJson } from "@nacre/protocols";
import {
  decodeMetadata,
  decodeRequest,
  encodeRequestTail,
  encodeRoute,
  RequestView,
} from "../../packages/ttrpc/src/message.ts";
import { jsonLines, vectors } from "../setup/data.ts";

/** One line of a recorded run: a request that the real Kata runtime sent. */
interface Recorded {
  readonly n: number;
  readonly dir: string;
  readonly service: string;
  readonly method: string;
  readonly timeout_nano?: number;
  readonly metadata?: readonly { readonly key: string; readonly value: string }[];
  readonly type: string;
  readonly body: object;
  readonly frame_b64: string;
}

/** Requests of our own in the recording's form, for a checkout without the recordings. */
const OWN: readonly Recorded[] = [
  {
    n: 1,
    dir: "req",
    service: "grpc.AgentService",
    method: "SignalProcess",
    timeout_nano: 300,
    metadata: [{ key: "k", value: "v" }],
    type: "grpc.SignalProcessRequest",
    body: { container_id: "c1", signal: 15 },
    frame_b64: Buffer.from(
      "0a11677270632e4167656e7453657276696365120d5369676e616c50726f636573731a060a026331180f20ac022a060a016b120176",
      "hex",
    ).toString("base64"),
  },
  {
    n: 2,
    dir: "req",
    service: "grpc.AgentService",
    method: "CopyFile",
    type: "grpc.CopyFileRequest",
    body: { path: "/a", file_size: "300", data: "AQI=" },
    frame_b64: Buffer.from(
      "0a11677270632e4167656e74536572766963651208436f707946696c651a0b0a022f6110ac0242020102",
      "hex",
    ).toString("base64"),
  },
];

const folder = vectors("traces");
const runs: readonly (readonly [string, readonly Recorded[]])[] =
  folder === undefined
    ? [["own", OWN]]
    : ["basic", "policy", "tty"].map((name) => [
        name,
        jsonLines<Recorded>(`${folder}/${name}.jsonl`).filter((line) => line.dir === "req"),
      ]);

describe.each(runs)("the recorded run %s", (_, requests) => {
  it("has requests", () => {
    expect(requests.length).toBeGreaterThan(1);
  });

  it.each(requests.map((r) => [r.n, r.method, r] as const))("%i %s", (_n, _method, recorded) => {
    const frame = Buffer.from(recorded.frame_b64, "base64");
    const view = new RequestView();
    expect(decodeRequest(frame, 0, frame.length, view)).toBeUndefined();
    expect(frame.toString("utf8", view.serviceStart, view.serviceEnd)).toBe(recorded.service);
    expect(frame.toString("utf8", view.methodStart, view.methodEnd)).toBe(recorded.method);
    expect(view.timeoutNano).toBe(recorded.timeout_nano ?? 0);
    const metadata =
      view.metadataStart < 0 ? new Map<string, string[]>() : decodeMetadata(frame, view.metadataStart, frame.length);
    expect([...metadata]).toEqual((recorded.metadata ?? []).map(({ key, value }) => [key, [value]]));

    const payload = frame.subarray(view.payloadStart, view.payloadEnd);
    const unknown: string[] = [];
    const message = decode(recorded.type, payload, { onUnknown: (type, number) => unknown.push(`${type} ${number}`) });
    expect(unknown).toEqual([]);
    expect(toJson(recorded.type, message)).toEqual(recorded.body);
    expect(fromJson(recorded.type, recorded.body)).toEqual(message);
    expect(Buffer.from(encode(recorded.type, message)).toString("hex")).toBe(payload.toString("hex"));

    // The envelope too comes out as it went in: names, payload, time-out, metadata.
    const head = encodeRoute(recorded.service, recorded.method);
    const tail = encodeRequestTail(view.timeoutNano, metadata);
    expect(frame.subarray(0, head.length).toString("hex")).toBe(Buffer.from(head).toString("hex"));
    expect(frame.subarray(frame.length - tail.length).toString("hex")).toBe(Buffer.from(tail).toString("hex"));
  });
});
