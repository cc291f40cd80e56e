import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { readBounded } from "../src/read-bounded.ts";

const MAX = 1000;

describe("readBounded", () => {
  let folder: string;
  let path: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "nacre-bounded-"));
    path = join(folder, "file");
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  it.each([0, 1, MAX])("reads %d bytes", (length) => {
    writeFileSync(path, Buffer.alloc(length, "é"));
    expect(readBounded(path, MAX)).toEqual(Buffer.alloc(length, "é"));
  });

  it("refuses what is longer, before it takes room for it", () => {
    writeFileSync(path, "");
    // More than a buffer can have: whoever reads it whole fails otherwise.
    truncateSync(path, 2 ** 40);
    expect(() => readBounded(path, MAX)).toThrow("expected at most 1000 bytes, got 1099511627776");
  });

  it("refuses what says that it is empty and is longer", () => {
    expect(() => readBounded("/proc/self/status", 100)).toThrow("expected at most 100 bytes, got more");
  });

  it("refuses folders, and pipes without waiting for who writes", () => {
    mkdirSync(path);
    expect(() => readBounded(path, MAX)).toThrow(`${path}: expected a regular file`);
    execFileSync("/usr/bin/mkfifo", [`${path}-pipe`]);
    expect(() => readBounded(`${path}-pipe`, MAX)).toThrow(`${path}-pipe: expected a regular file`);
  });
});
