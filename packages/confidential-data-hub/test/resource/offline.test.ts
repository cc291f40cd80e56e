import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { vectors } from "../../../../test/setup/data.ts";
import { offlineResources } from "../../src/index.ts";

const { signal } = new AbortController();
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "nacre-offline-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

describe("offlineResources", () => {
  it("takes the last file that has it, and files that are not there for nothing", async () => {
    const one = file("1", '{"a/b/c": "b25l", "a/b/d": ""}');
    const two = file("2", '{"a/b/c": "dHdv"}');
    const resources = await offlineResources([join(folder, "none"), one, two]);
    expect((await resources.get("kbs:///a/b/c", signal)).toString()).toBe("two");
    expect((await resources.get("kbs://host.test/a/b/d", signal)).length).toBe(0);
    await expect(resources.get("kbs:///a/b/e", signal)).rejects.toMatchObject({ code: "missing" });
    await expect(resources.get("kbs+other:///a/b/c", signal)).rejects.toMatchObject({ code: "missing" });
    await expect(resources.get("a/b/c", signal)).rejects.toMatchObject({ code: "uri" });
    // Each caller zeroes its own.
    (await resources.get("kbs:///a/b/c", signal)).fill(0);
    expect((await resources.get("kbs:///a/b/c", signal)).toString()).toBe("two");
  });

  it.each([
    ["{", "failed to read"],
    ["[]", "expected an object"],
    ['{"a/b/c": 1}', "expected base64 as a/b/c"],
    ['{"a/b/c": "b25l!"}', "expected base64 as a/b/c"],
    ['{"a/b/c": "", "a/b/c": ""}', "failed to read"],
  ])("refuses a file with %s", async (text, why) => {
    await expect(offlineResources([file("x", text)])).rejects.toThrow(why);
  });

  const keys = vectors("cdh/aa-offline_fs_kbc-keys.json");
  it(keys === undefined ? "reads each of many" : "reads upstream's own", async () => {
    const path = keys ?? file("keys", '{"default/key/ssh": "c3No", "default/key/aes": "/+8="}');
    const expected = JSON.parse(readFileSync(path, "utf8")) as Record<string, string>;
    const resources = await offlineResources([path]);
    expect(Object.keys(expected).length).toBeGreaterThan(0);
    for (const [name, value] of Object.entries(expected)) {
      expect((await resources.get(`kbs:///${name}`, signal)).toString("base64")).toBe(value);
    }
  });
});
