import { createHash } from "node:crypto";

import { describe, expect, it } from "vitest";

import {
  fitDigest,
  formatInitdata,
  initdataDigest,
  KbsProtocolError,
  MAX_DOCUMENT,
  parseInitdata,
} from "../../src/index.ts";
import { generator } from "../random.ts";

const HEAD = 'version = "0.1.0"\nalgorithm = "sha384"\n';
const parse = (text: string) => parseInitdata(Buffer.from(text));

describe("parseInitdata", () => {
  it("reads the three parts, and keeps keys that nobody knows", () => {
    const { algorithm, data } = parse(`${HEAD}[data]\n"policy.rego" = '''\npackage p\n'''\n"x" = "y"\n`);
    expect(algorithm).toBe("sha384");
    expect([...data]).toEqual([
      ["policy.rego", "package p\n"],
      ["x", "y"],
    ]);
  });

  it("reads an empty table, and names that JavaScript gives a meaning", () => {
    expect(parse(`${HEAD}[data]\n`).data.size).toBe(0);
    expect([...parse(`${HEAD}[data]\n"__proto__" = "a"\n"constructor" = "b"\n`).data.keys()].sort()).toEqual([
      "__proto__",
      "constructor",
    ]);
  });

  it.each([
    ["not TOML", "version = ", "document", "initdata: expected TOML, got none at line 1, column"],
    ["no version", 'algorithm = "sha256"\n[data]\n', "document", "initdata: expected the text version"],
    [
      "another version",
      'version = "0.2.0"\nalgorithm = "sha256"\n[data]\n',
      "unsupported",
      'version 0.1.0, got "0.2.0"',
    ],
    ["a version that is a number", "version = 1\n", "document", "initdata: expected the text version"],
    ["no algorithm", 'version = "0.1.0"\n[data]\n', "document", "initdata: expected the text algorithm"],
    [
      "another algorithm",
      'version = "0.1.0"\nalgorithm = "md5"\n[data]\n',
      "unsupported",
      'sha256, sha384, sha512, got "md5"',
    ],
    ["an inherited name as algorithm", 'version = "0.1.0"\nalgorithm = "toString"\n', "unsupported", "toString"],
    ["no data", HEAD, "document", "initdata: expected the table data"],
    ["data that is an array", `${HEAD}data = []`, "document", "initdata: expected the table data"],
    ["a number in data", `${HEAD}[data]\nx = 1`, "document", 'initdata: expected a text for "x" in data, got number'],
    ["a table in data", `${HEAD}[data.x]\n`, "document", 'initdata: expected a text for "x" in data, got object'],
    [
      "a key beside the three",
      `${HEAD}Data = 1\n[data]\n`,
      "document",
      'version, algorithm and data, got the key "Data"',
    ],
    ["a key twice", `${HEAD}version = "0.1.0"\n[data]\n`, "document", "initdata: expected TOML, got none at line 3"],
    ["a long key", `${HEAD}${"k".repeat(500)} = 1\n[data]`, "document", `got the key "${"k".repeat(64)}…"`],
  ])("refuses %s", (_, text, code, message) => {
    expect(() => parse(text)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) as unknown }),
    );
  });

  it("refuses what is no UTF-8, and what is too long before it is looked at", () => {
    expect(() => parseInitdata(Buffer.from([0x23, 0xff]))).toThrow("initdata: expected UTF-8");
    expect(() => parseInitdata(Buffer.alloc(MAX_DOCUMENT + 1))).toThrow(expect.objectContaining({ code: "too-long" }));
  });

  it("says nothing of the contents", () => {
    const error = catchError(() => parse(`${HEAD}[data]\nsecret = "hunter2\n`));
    expect(error.message).not.toContain("hunter2");
    expect(error.cause).toBeUndefined();
  });

  it("reads or refuses whatever a changed document makes of it: seeded fuzz", () => {
    const next = generator(5);
    const original = Buffer.from(`${HEAD}[data]\n"aa.toml" = '''\n[token]\nurl = 'x'\n'''\n"b" = "\\u00e4\\n"\n`);
    let refused = 0;
    for (let round = 0; round < 10_000; round += 1) {
      const bytes = Buffer.from(original);
      for (let change = 0; change <= next(3); change += 1) bytes[next(bytes.length)] = next(256);
      try {
        for (const [key, value] of parseInitdata(bytes.subarray(0, next(20) === 0 ? next(bytes.length) : bytes.length))
          .data) {
          expect([typeof key, typeof value]).toEqual(["string", "string"]);
        }
      } catch (error) {
        expect(error).toBeInstanceOf(KbsProtocolError);
        expect((error as Error).message).not.toContain("\n");
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(1000);
  });
});

describe("formatInitdata", () => {
  it.each([
    ["one line", "a = 1"],
    ["several lines", "[token]\nurl = 'http://x'\n"],
    ["a first line that is empty", "\n\na"],
    ["literal quotes", "a = '''x'''\nb"],
    ["a quote at the end", "a\n'"],
    ["carriage returns", "a\r\nb\r"],
    ["control characters", "a\0b\u0007\u007f\nc"],
    ["other letters", "ä\u{1f600}\n\u2028"],
    ["nothing", ""],
    ["backslashes", "a\\nb\n\\"],
  ])("writes what is read back: %s", (_, text) => {
    const written = formatInitdata({ algorithm: "sha256", data: new Map([["policy.rego", text]]) });
    expect(parse(written)).toEqual({ algorithm: "sha256", data: new Map([["policy.rego", text]]) });
  });

  it("keeps texts of several lines readable", () => {
    const text = formatInitdata({ algorithm: "sha512", data: new Map([["cdh.toml", "[image]\nmax = 1\n"]]) });
    expect(text).toBe(`version = "0.1.0"\nalgorithm = "sha512"\n\n[data]\n"cdh.toml" = '''\n[image]\nmax = 1\n'''\n`);
  });

  it("refuses a document that no guest would read", () => {
    const data = new Map([["x", "y".repeat(MAX_DOCUMENT)]]);
    expect(() => formatInitdata({ algorithm: "sha256", data })).toThrow(expect.objectContaining({ code: "too-long" }));
  });
});

describe("digests", () => {
  it("are of the very bytes", () => {
    const toml = Buffer.from(`${HEAD}[data]\n`);
    expect(initdataDigest(toml, "sha384")).toEqual(createHash("sha384").update(toml).digest());
    expect(initdataDigest(Buffer.concat([toml, Buffer.from("\n")]), "sha384")).not.toEqual(
      initdataDigest(toml, "sha384"),
    );
  });

  it("are cut or filled up to a platform's field", () => {
    const digest = Buffer.alloc(48, 7);
    expect(fitDigest(digest, 32)).toEqual(Buffer.alloc(32, 7));
    expect(fitDigest(digest, 64)).toEqual(Buffer.concat([digest, Buffer.alloc(16)]));
    expect(fitDigest(digest, 48)).toEqual(digest);
  });
});

function catchError(work: () => unknown): Error {
  try {
    work();
  } catch (error) {
    return error as Error;
  }
  throw new Error("expected an error");
}
