import type { grpc } from "@nacre/protocols";
import { describe, expect, it } from "vitest";

import { createLogger } from "../../src/log.ts";
import { StorageRegistry } from "../../src/storage/registry.ts";
import type { StorageContext, StorageDriver } from "../../src/storage/storage.ts";

const lines: string[] = [];
const log = createLogger({ level: "trace", version: "0", pid: 1, write: (line) => lines.push(line) });
const context: StorageContext = { containerId: "c1", annotations: {}, signal: new AbortController().signal, log };

function storage(mount_point: string, over: Partial<grpc.Storage> = {}): grpc.Storage {
  return {
    driver: "fake",
    driver_options: [],
    source: "s",
    fstype: "f",
    options: [],
    mount_point,
    fs_group: null,
    shared: false,
    ...over,
  };
}

/** A driver that notes what it does and can be made to fail or to wait. */
class FakeDriver implements StorageDriver {
  readonly name: string;
  readonly shareable: boolean;
  readonly events: string[] = [];
  gate: Promise<void> = Promise.resolve();
  failing = "";

  constructor(name = "fake", shareable = true) {
    this.name = name;
    this.shareable = shareable;
  }

  check(message: grpc.Storage): void {
    if (message.source === "bad") throw new Error("bad source");
  }

  async add({ mount_point }: grpc.Storage): Promise<() => Promise<void>> {
    this.events.push(`add ${mount_point}`);
    await this.gate;
    if (mount_point === this.failing) throw new Error(`cannot make ${mount_point}`);
    return () => {
      this.events.push(`undo ${mount_point}`);
      return Promise.resolve();
    };
  }
}

describe("StorageRegistry", () => {
  it("makes a mount point once and undoes it with its last user", async () => {
    const driver = new FakeDriver();
    const registry = new StorageRegistry([driver], log);
    const first = await registry.addAll([storage("/a")], context);
    const second = await registry.addAll([storage("/a")], context);
    await registry.releaseAll(first);
    expect(driver.events).toEqual(["add /a"]);
    await registry.releaseAll(second);
    expect(driver.events).toEqual(["add /a", "undo /a"]);
    await registry.addAll([storage("/a")], context);
    expect(driver.events).toEqual(["add /a", "undo /a", "add /a"]);
  });

  it("keeps a pod's volume behind a container that has run, and not behind one that was never made", async () => {
    const driver = new FakeDriver();
    const registry = new StorageRegistry([Object.assign(driver, { outlivesContainers: true })], log);
    await registry.releaseAll(await registry.addAll([storage("/a")], context));
    expect(driver.events).toEqual(["add /a", "undo /a"]);
    await registry.releaseAll(await registry.addAll([storage("/a")], context), { served: true });
    // The next one finds it, and its failure takes nothing away.
    await registry.releaseAll(await registry.addAll([storage("/a")], context));
    expect(driver.events).toEqual(["add /a", "undo /a", "add /a"]);
    await registry.clear();
    expect(driver.events).toEqual(["add /a", "undo /a", "add /a", "undo /a"]);
  });

  it("keeps what the host marks as shared until the end", async () => {
    const driver = new FakeDriver();
    const registry = new StorageRegistry([driver], log);
    await registry.releaseAll(await registry.addAll([storage("/a", { shared: true })], context));
    expect(driver.events).toEqual(["add /a"]);
    await registry.clear();
    expect(driver.events).toEqual(["add /a", "undo /a"]);
  });

  it("undoes the earlier ones, last first, when one fails", async () => {
    const driver = new FakeDriver();
    driver.failing = "/c";
    const registry = new StorageRegistry([driver], log);
    await expect(registry.addAll([storage("/a"), storage("/b"), storage("/c")], context)).rejects.toThrow("make /c");
    expect(driver.events).toEqual(["add /a", "add /b", "add /c", "undo /b", "undo /a"]);
  });

  it("refuses an unknown driver with the recorded text, also for a mount point that is there", async () => {
    const registry = new StorageRegistry([new FakeDriver()], log);
    await registry.addAll([storage("/a")], context);
    await expect(registry.addAll([storage("/a", { driver: "nosuch" })], context)).rejects.toMatchObject({
      code: 13,
      message: "Failed to find the storage handler nosuch",
    });
  });

  it.each([
    ["another source", { source: "t" }],
    ["another type", { fstype: "g" }],
    ["other options", { options: ["ro"] }],
    ["other driver options", { driver_options: ["x"] }],
    ["another group", { fs_group: { group_id: 5, group_change_policy: 0 as const } }],
    ["another life", { shared: true }],
  ])("refuses a mount point that is there for a storage with %s", async (_what, over) => {
    const registry = new StorageRegistry([new FakeDriver()], log);
    await registry.addAll([storage("/a")], context);
    await expect(registry.addAll([storage("/a", over)], context)).rejects.toThrow("/a is in use by another storage");
  });

  it("does not let a mount made before take the place of an image", async () => {
    const pull = new FakeDriver("pull", false);
    const registry = new StorageRegistry([new FakeDriver(), pull], log);
    await registry.addAll([storage("/root")], context);
    await expect(registry.addAll([storage("/root", { driver: "pull" })], context)).rejects.toThrow("in use");
    await registry.addAll([storage("/other", { driver: "pull" })], context);
    await expect(registry.addAll([storage("/other", { driver: "pull" })], context)).rejects.toThrow("in use");
  });

  it("lets the second caller of a mount point wait for the first, and others pass", async () => {
    const driver = new FakeDriver();
    const registry = new StorageRegistry([driver], log);
    const gate = Promise.withResolvers<void>();
    driver.gate = gate.promise;
    const first = registry.addAll([storage("/a")], context);
    const second = registry.addAll([storage("/a")], context);
    driver.gate = Promise.resolve();
    await registry.addAll([storage("/b")], context);
    gate.resolve();
    await Promise.all([first, second]);
    expect(driver.events).toEqual(["add /a", "add /b"]);
    await registry.releaseAll(["/a", "/a"]);
    expect(driver.events).toEqual(["add /a", "add /b", "undo /a"]);
  });

  it("asks the driver's check before anything is made", async () => {
    const driver = new FakeDriver();
    const registry = new StorageRegistry([driver], log);
    await expect(registry.addAll([storage("/a", { source: "bad" })], context)).rejects.toThrow("bad source");
    expect(driver.events).toEqual([]);
  });

  it("lists its drivers sorted", () => {
    expect(new StorageRegistry([new FakeDriver("b"), new FakeDriver("a")], log).driverNames).toEqual(["a", "b"]);
  });
});
