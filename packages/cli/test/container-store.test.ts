import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ContainerRecord, ContainerStore } from "../src/container-store.ts";

describe("ContainerStore", () => {
  let folder: string;
  let store: ContainerStore;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "nacre-store-"));
    store = new ContainerStore(folder);
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const record = (name: string, second = 0): ContainerRecord => ({
    name,
    id: `${name}-0123456789`,
    image: "img",
    created: new Date(second * 1000).toISOString(),
    process: { Args: ["sh"], Env: ["SECRET=1"] },
  });

  it("keeps records for other commands, the oldest first", () => {
    store.add(record("b", 2));
    store.add(record("a", 3));
    store.add(record("c", 1));
    expect(new ContainerStore(folder).list().map(({ name }) => name)).toEqual(["c", "b", "a"]);
    expect(store.find("a")).toEqual(record("a", 3));
  });

  it("gives a name once", () => {
    store.add(record("a"));
    expect(() => store.add(record("a"))).toThrow("a container a exists");
    store.remove("a");
    store.remove("a");
    store.add(record("a"));
  });

  it.each(["", "../x", "a/b", ".a", "-a", "a b", "ä", "a".repeat(64), "a\n"])("refuses the name %j", (name) => {
    expect(() => store.add(record(name))).toThrow("expected up to 63 letters");
    expect(readdirSync(folder)).toEqual([]);
  });

  it("is for its owner's eyes: the environment may hold secrets", () => {
    store.add(record("a"));
    store.replace({ ...record("a"), exitStatus: 3 });
    expect(statSync(join(folder, "a.json")).mode & 0o777).toBe(0o600);
    expect(store.find("a")?.exitStatus).toBe(3);
    expect(readdirSync(folder)).toEqual(["a.json"]);
  });

  it("finds by the beginning of an id, from six characters on", () => {
    store.add({ ...record("a"), id: "0123456789" });
    expect(store.find("012345")?.name).toBe("a");
    expect(store.find("01234")).toBeUndefined();
  });

  it("passes over a file that is being written", () => {
    writeFileSync(join(folder, "half.json"), '{"name":');
    expect(store.list()).toEqual([]);
  });
});
