import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { afterEach, describe, expect, it } from "vitest";

import { base64Bytes } from "../../src/kms/base64-bytes.ts";
import { nodeKmsHttp } from "../../src/kms/http.ts";
import { jsonText } from "../../src/kms/json-text.ts";
import { encodeFields, fieldOf } from "../../src/kms/protobuf.ts";

let state = 0xbeef;
const next = (below: number): number => {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % below;
};

describe("jsonText", () => {
  const document = { a: [1, { "b}": "]" }], 'q"': "x", s: 'é"\\\n\u0001😀/', n: { t: "inner", s: "other" }, e: "" };
  it.each([JSON.stringify(document), JSON.stringify(document, undefined, 2)])("finds texts of %s", (json) => {
    const bytes = Buffer.from(json);
    expect(jsonText(bytes, ["s"])?.toString()).toBe(document.s);
    expect(jsonText(bytes, ["n", "t"])?.toString()).toBe("inner");
    expect(jsonText(bytes, ['q"'])?.toString()).toBe("x");
    expect(jsonText(bytes, ["e"])?.length).toBe(0);
    for (const path of [["none"], ["a"], ["n"], ["s", "t"], []]) expect(jsonText(bytes, path)).toBeUndefined();
  });

  it("reads escapes", () => {
    const json = Buffer.from('{"s":"\\u00e9\\ud83d\\ude00\\ud83d\\/\\b\\f\\r\\t"}');
    expect(jsonText(json, ["s"])?.toString()).toBe("é😀\ufffd/\b\f\r\t");
    for (const bad of ['{"s":"\\x"}', '{"s":"\\u12"}', '{"s":"', '{"s"', "{", ""]) {
      expect(jsonText(Buffer.from(bad), ["s"])).toBeUndefined();
    }
  });

  it("agrees with JSON.parse on random documents, and ends on hostile ones (seeded)", () => {
    const value = (depth: number): unknown => {
      switch (next(depth > 3 ? 3 : 5)) {
        case 0:
          return String.fromCodePoint(...Array.from({ length: next(6) }, () => 32 + next(0x500)));
        case 1:
          return next(1000);
        case 2:
          return next(2) === 0 ? null : true;
        case 3:
          return Array.from({ length: next(3) }, () => value(depth + 1));
        default:
          return Object.fromEntries(Array.from({ length: next(4) }, (_, i) => [`k${i}`, value(depth + 1)]));
      }
    };
    for (let round = 0; round < 2000; round++) {
      const found = value(0);
      const member = typeof found === "object" && found !== null ? (found as { k1?: unknown }).k1 : undefined;
      const json = Buffer.from(JSON.stringify(found));
      expect(jsonText(json, ["k1"])?.toString()).toBe(typeof member === "string" ? member : undefined);
      json[next(json.length)] = next(256);
      jsonText(json, ["k1"]);
      jsonText(json.subarray(0, next(json.length)), ["k0", "k1"]);
    }
  });
});

describe("base64Bytes", () => {
  it("reads what Node writes", () => {
    for (let length = 0; length < 70; length++) {
      const bytes = Buffer.from(Array.from({ length }, () => next(256)));
      expect(base64Bytes(Buffer.from(bytes.toString("base64")), "x")).toEqual(bytes);
    }
  });

  it.each(["A", "AA", "AAA", "A===", "====", "AA=A", "AAA-", "AA AA", "é==="])("refuses %j", (text) => {
    expect(() => base64Bytes(Buffer.from(text), "x")).toThrow("x: expected base64");
  });
});

describe("protobuf", () => {
  it("is as the wire format has it", () => {
    const long = Buffer.alloc(300, 1);
    const message = encodeFields([
      [1, "ab"],
      [2, ""],
      [3, long],
      [4, true],
      [5, false],
    ]);
    expect(message.subarray(0, 7).toString("hex")).toBe("0a0261621aac02");
    expect(fieldOf(message, 3)).toEqual(long);
    expect(fieldOf(message, 2)).toBeUndefined();
    expect(fieldOf(message, 4)).toBeUndefined();
  });

  it("ends on hostile bytes (seeded)", () => {
    for (let round = 0; round < 3000; round++) {
      const bytes = Buffer.from(Array.from({ length: next(20) }, () => next(256)));
      const found = fieldOf(bytes, 1 + next(3));
      if (found !== undefined) expect(found.length).toBeLessThan(bytes.length);
    }
  });
});

describe("the network", () => {
  const closing: (() => void)[] = [];
  afterEach(() => {
    for (const close of closing.splice(0)) close();
  });
  const { signal } = new AbortController();

  it("sends and receives bytes, and refuses a reply that is too long", async () => {
    const server = createServer((request, response) => {
      if (request.url === "/long") {
        response.end(Buffer.alloc(1024 * 1024 + 1));
        return;
      }
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => response.writeHead(201).end(Buffer.concat(parts)));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closing.push(() => {
      server.closeAllConnections();
      server.close();
    });
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const body = Buffer.of(0, 255, 1);
    expect(await nodeKmsHttp.send({ method: "POST", url, headers: {}, body, signal })).toEqual({ status: 201, body });
    await expect(nodeKmsHttp.send({ method: "GET", url: `${url}/long`, headers: {}, signal })).rejects.toMatchObject({
      code: "malformed",
    });
  });

  it("says when nobody answers, and ends with its caller", async () => {
    const nobody = nodeKmsHttp.send({ method: "GET", url: "http://127.0.0.1:1/", headers: {}, signal });
    await expect(nobody).rejects.toMatchObject({ name: "HubError", code: "unreachable" });
    const gone = AbortSignal.abort(new Error("gone"));
    await expect(
      nodeKmsHttp.send({ method: "GET", url: "http://127.0.0.1:1/", headers: {}, signal: gone }),
    ).rejects.toThrow("gone");
  });
});
