import { describe, expect, it } from "vitest";
import {
  decodeMetadata,
  decodeRequest,
  decodeResponse,
  encodeRequestTail,
  encodeRoute,
  encodeStatusResponse,
  RequestView,
  text,
} from "../src/message.ts";
import { Random } from "./random.ts";

const hex = (s: string): Uint8Array => Buffer.from(s.replaceAll(" ", ""), "hex");

/** Decodes with some bytes before and after, as in a chunk. */
function request(body: Uint8Array) {
  const b = Buffer.concat([Uint8Array.of(1, 2, 3), body, Uint8Array.of(0xff)]);
  const v = new RequestView();
  const problem = decodeRequest(b, 3, 3 + body.length, v);
  if (problem !== undefined) return problem;
  return {
    service: text(b, v.serviceStart, v.serviceEnd),
    method: text(b, v.methodStart, v.methodEnd),
    payload: Buffer.from(b.subarray(v.payloadStart, v.payloadEnd)).toString("hex"),
    timeout: v.timeoutNano,
    metadata: v.metadataStart < 0 ? {} : Object.fromEntries(decodeMetadata(b, v.metadataStart, 3 + body.length)),
  };
}

describe("Request", () => {
  it("decodes every field, in any order", () => {
    // metadata {k: v}, payload 0102, service a, time-out 300, method b, metadata {k: w}
    const got = request(hex("2a06 0a016b 120176  1a02 0102  0a01 61  20 ac02  12 01 62  2a06 0a016b 120177"));
    expect(got).toEqual({ service: "a", method: "b", payload: "0102", timeout: 300, metadata: { k: ["v", "w"] } });
  });

  it("is empty when it has no bytes", () => {
    expect(request(hex(""))).toEqual({ service: "", method: "", payload: "", timeout: 0, metadata: {} });
  });

  it("lets the last value win, steps over unknown fields, groups and wrong wire types", () => {
    expect(request(hex("0a0161 0a0162  3005 39 0000000000000000 3d 00000000 4201ff  0b0c  5b 0800 5c  0801"))).toEqual({
      service: "b",
      method: "",
      payload: "",
      timeout: 0,
      metadata: {},
    });
  });

  it("reads time-outs as signed 64-bit numbers", () => {
    expect(request(hex("20 ffffffffffffffffff01"))).toMatchObject({ timeout: -1 });
    expect(request(hex("20 80d0acf30e"))).toMatchObject({ timeout: 4_000_000_000 });
    expect(request(hex("20 ffffffffffffffff7f"))).toMatchObject({ timeout: 2 ** 63 });
  });

  it.each([
    ["a varint that does not end", "20 ffffffffffffffffffff", "Incorrect varint"],
    ["a tag above 32 bits", "ffffffffff", "Incorrect varint"],
    ["an unfinished tag", "ffffff", "Unexpected EOF"],
    ["a length past the end", "0a05 61", "Unexpected EOF"],
    ["a length that would wrap", "0a ffffffff0f", "Unexpected EOF"],
    ["a service that is not UTF-8", "0a02 fffe", "Invalid UTF-8 sequence"],
    ["a method that is not UTF-8", "1203 eda080", "Invalid UTF-8 sequence"],
    ["a metadata value that is not UTF-8", "2a06 0a016b 1201ff", "Invalid UTF-8 sequence"],
    ["metadata cut short", "2a04 0a036b6b", "Unexpected EOF"],
    ["field number 0", "00", "Incorrect tag"],
    ["wire type 7", "0f", "Incorrect tag"],
    ["an end of group without a start", "0c", "Incorrect tag"],
    ["groups nested too deep", "0b".repeat(200), "Incorrect tag"],
  ])("says what is wrong with %s", (_name, bytes, message) => {
    expect(request(hex(bytes))).toBe(message);
  });

  it("decodes what the client encodes", () => {
    const metadata = new Map([
      ["a", ["1", "zwei"]],
      ["ü", [""]],
    ]);
    const body = Buffer.concat([encodeRoute("p.S", "M"), hex("1a0109"), encodeRequestTail(60e9, metadata)]);
    expect(request(body)).toEqual({
      service: "p.S",
      method: "M",
      payload: "09",
      timeout: 60e9,
      metadata: { a: ["1", "zwei"], ü: [""] },
    });
  });

  it("never reads outside its bytes nor throws (seeded)", () => {
    const good = Buffer.concat([
      encodeRoute("grpc.AgentService", "CreateContainer"),
      hex("1a020102"),
      encodeRequestTail(1e9, new Map([["key", ["value"]]])),
    ]);
    for (let seed = 1; seed <= 3000; seed++) {
      const random = new Random(seed);
      const body = Buffer.from(seed % 2 === 0 ? good : random.bytes(random.int(60)));
      for (let i = random.int(4); i > 0 && body.length > 0; i--) body[random.int(body.length)] = random.int(256);
      const cut = body.subarray(0, random.int(body.length + 1));
      const v = new RequestView();
      if (decodeRequest(cut, 0, cut.length, v) !== undefined) continue;
      for (const at of [v.serviceEnd, v.methodEnd, v.payloadEnd])
        expect(at, `seed ${seed}`).toBeLessThanOrEqual(cut.length);
      if (v.metadataStart >= 0) expect(decodeMetadata(cut, v.metadataStart, cut.length).size).toBeGreaterThan(0);
    }
  });
});

describe("Response", () => {
  const response = (b: Uint8Array) => decodeResponse(b, 0, b.length);

  it("encodes a status as Go and Rust do", () => {
    expect(Buffer.from(encodeStatusResponse(12, "X method")).toString("hex")).toBe("0a0c080c120858206d6574686f64");
    expect(Buffer.from(encodeStatusResponse(1, "")).toString("hex")).toBe("0a020801");
  });

  it("decodes a status of any length, details stepped over", () => {
    const long = "ä".repeat(300);
    expect(response(encodeStatusResponse(13, long))).toMatchObject({ code: 13, message: long });
    expect(response(hex("0a06 0805 1a020801  1203 010203"))).toMatchObject({ code: 5, payload: hex("010203") });
    expect(response(hex(""))).toMatchObject({ code: 0, message: "" });
  });

  it.each([
    ["0a05 08", "Unexpected EOF"],
    ["0a03 1201ff", "Invalid UTF-8 sequence"],
    ["0a0c 08 ffffffffffffffffffffff", "Incorrect varint"],
    ["1205", "Unexpected EOF"],
    ["07", "Incorrect tag"],
  ])("refuses %s", (bytes, message) => {
    expect(response(hex(bytes))).toBe(message);
  });

  it("never throws (seeded)", () => {
    let accepted = 0;
    for (let seed = 1; seed <= 3000; seed++) {
      const random = new Random(seed);
      const body = Buffer.from(seed % 2 === 0 ? encodeStatusResponse(5, "text") : random.bytes(random.int(30)));
      body[random.int(Math.max(body.length, 1))] = random.int(256);
      if (typeof response(body) !== "string") accepted++;
    }
    expect(accepted).toBeGreaterThan(0);
  });
});
