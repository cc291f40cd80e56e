import { appendFileSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { followFile, linesOf } from "../src/follow-file.ts";

let folder: string;
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "nacre-follow-"))));
afterAll(() => rmSync(folder, { recursive: true }));

describe("followFile", () => {
  it("gives what is there, then what is appended, until the file is deleted", async () => {
    const path = join(folder, "a");
    writeFileSync(path, "one\ntwo");
    const lines = linesOf(followFile(path));
    expect(await lines.next()).toEqual({ done: false, value: "one" });
    const second = lines.next();
    appendFileSync(path, " and more\nthree");
    expect(await second).toEqual({ done: false, value: "two and more" });
    const third = lines.next();
    unlinkSync(path);
    expect(await third).toEqual({ done: false, value: "three" });
    expect(await lines.next()).toMatchObject({ done: true });
  });

  it("gives what was appended before it was told to end", async () => {
    const path = join(folder, "b");
    writeFileSync(path, "passed over\n");
    const end = new AbortController();
    const lines = linesOf(followFile(path, { from: 12, signal: end.signal }));
    const first = lines.next();
    appendFileSync(path, "x\ny\n");
    end.abort();
    expect(await first).toMatchObject({ value: "x" });
    expect(await lines.next()).toMatchObject({ value: "y" });
    expect(await lines.next()).toMatchObject({ done: true });
  });

  it("says when there is no such file", async () => {
    await expect(followFile(join(folder, "none")).next()).rejects.toMatchObject({ code: "input" });
  });
});

describe("linesOf", () => {
  it("joins what comes in pieces, characters too, and bounds a line", async () => {
    async function* pieces(): AsyncGenerator<Uint8Array> {
      yield* [...Buffer.from("é\nü")].map((byte) => Uint8Array.of(byte));
      yield Buffer.from("x".repeat(200_000));
    }
    const lines: string[] = [];
    for await (const line of linesOf(pieces())) lines.push(line);
    expect(lines[0]).toBe("é");
    expect(lines.slice(1).join("")).toBe(`ü${"x".repeat(200_000)}`);
  });
});
