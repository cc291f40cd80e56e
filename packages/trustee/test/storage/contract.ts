import { expect, it } from "vitest";

import { Namespace, type Storage } from "../../src/storage/storage.ts";

/** What every storage does. `open` gives one with nothing in it. */
export function itIsStorage(open: () => Promise<Storage>): void {
  const { KBS, REPOSITORY } = Namespace;
  const bytes = Buffer.from([0, 255, 10, 13, 92]);

  it("keeps values by namespace and key", async () => {
    const storage = await open();
    expect(await storage.get(KBS, "a")).toBeUndefined();
    await storage.set(KBS, "a", bytes);
    await storage.set(REPOSITORY, "a", Buffer.from("other"));
    await storage.set(REPOSITORY, "one/two/three.x", Buffer.alloc(0));
    expect(await storage.get(KBS, "a")).toEqual(bytes);
    expect(await storage.get(REPOSITORY, "one/two/three.x")).toEqual(Buffer.alloc(0));
    expect((await storage.list(REPOSITORY)).toSorted()).toEqual(["a", "one/two/three.x"]);
    await storage.set(KBS, "a", Buffer.from("later"));
    expect(String(await storage.get(KBS, "a"))).toBe("later");
    await storage.close();
  });

  it("writes a new value once", async () => {
    const storage = await open();
    const made = await Promise.all([1, 2, 3, 4].map((n) => storage.setNew(KBS, "k", Buffer.from([n]))));
    expect(made.filter(Boolean)).toHaveLength(1);
    expect(await storage.get(KBS, "k")).toEqual(Buffer.from([made.indexOf(true) + 1]));
    await storage.close();
  });

  it("deletes, and says whether there was something", async () => {
    const storage = await open();
    await storage.set(KBS, "k", bytes);
    expect(await storage.delete(KBS, "k")).toBe(true);
    expect(await storage.delete(KBS, "k")).toBe(false);
    expect(await storage.get(KBS, "k")).toBeUndefined();
    expect(await storage.list(KBS)).toEqual([]);
    await storage.close();
  });

  it.each(["", "a b", "\u00fc", "a\0", "x".repeat(513)])("takes no key %j", async (key) => {
    const storage = await open();
    const calls = [storage.get(KBS, key), storage.set(KBS, key, bytes), storage.setNew(KBS, key, bytes)];
    for (const call of [...calls, storage.delete(KBS, key)])
      await expect(call).rejects.toMatchObject({ code: "request" });
    expect(await storage.list(KBS)).toEqual([]);
    await storage.close();
  });

  it("holds a large value", async () => {
    const storage = await open();
    const large = Buffer.alloc(2 * 1024 * 1024, 0xa5);
    await storage.set(REPOSITORY, "large", large);
    expect((await storage.get(REPOSITORY, "large"))?.equals(large)).toBe(true);
    await storage.close();
  });

  it("takes many writers at once", async () => {
    const storage = await open();
    await Promise.all(Array.from({ length: 64 }, (_, n) => storage.set(KBS, `k${n % 8}`, Buffer.alloc(100, n))));
    for (let n = 0; n < 8; n++) {
      const value = await storage.get(KBS, `k${n}`);
      expect(value?.every((byte) => byte === value[0])).toBe(true);
    }
    expect(await storage.list(KBS)).toHaveLength(8);
    await storage.close();
  });
}
