import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fileText } from "../src/file-text.ts";

describe("fileText", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "nacre-file-"))));
  afterEach(() => rmSync(folder, { recursive: true }));

  const appear = (): void => {
    writeFileSync(join(folder, "new"), "text");
    renameSync(join(folder, "new"), join(folder, "file"));
  };

  it("reads what is there", async () => {
    appear();
    expect(await fileText(join(folder, "file"), 60_000)).toBe("text");
  });

  it("waits for what is to come", async () => {
    const text = fileText(join(folder, "file"), 60_000);
    writeFileSync(join(folder, "other"), "");
    appear();
    expect(await text).toBe("text");
  });

  it("gives up", async () => {
    await expect(fileText(join(folder, "file"), 1)).rejects.toMatchObject({ code: "guest" });
    const abort = new AbortController();
    const waiting = fileText(join(folder, "file"), 60_000, abort.signal);
    abort.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
  });
});
