import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { Sessions } from "../../src/kbs/session.ts";
import { MemoryStorage } from "../../src/storage/memory.ts";
import { Namespace } from "../../src/storage/storage.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const left = (storage: MemoryStorage): Promise<readonly string[]> => storage.list(Namespace.SESSION);
const open = (storage: MemoryStorage): Promise<Sessions> => Sessions.open(storage, 1000, Date.now, () => {});

it("sessions end at their time, attested or not, and leave nothing", async () => {
  const storage = new MemoryStorage();
  const sessions = await open(storage);
  const first = await sessions.begin("sample", "n");
  expect(first.id).toMatch(/^[0-9a-f]{32}$/u);
  await vi.advanceTimersByTimeAsync(500);
  const second = await sessions.begin("snp", "m");
  await sessions.attested(first, "token");
  expect(await sessions.find(first.id)).toMatchObject({
    tee: "sample",
    nonce: "n",
    token: "token",
    expires: first.expires,
  });
  await vi.advanceTimersByTimeAsync(502);
  expect(await left(storage)).toEqual([second.id]);
  expect(await sessions.find(first.id)).toBeUndefined();
  await vi.advanceTimersByTimeAsync(500);
  expect(await left(storage)).toEqual([]);
});

it("a session that ended while its evidence was verified stays ended", async () => {
  const storage = new MemoryStorage();
  const sessions = await open(storage);
  const session = await sessions.begin("sample", "n");
  await vi.advanceTimersByTimeAsync(1002);
  await sessions.attested(session, "token");
  expect(await left(storage)).toEqual([]);
});

it("a session that ends while its token is written leaves nothing", async () => {
  const storage = new MemoryStorage();
  const sessions = await open(storage);
  const session = await sessions.begin("sample", "n");
  const set = storage.set.bind(storage);
  vi.spyOn(storage, "set").mockImplementationOnce(async (...written) => {
    await vi.advanceTimersByTimeAsync(1002);
    await set(...written);
  });
  await sessions.attested(session, "token");
  expect(await left(storage)).toEqual([]);
});

it("what an earlier process left is taken over, and removed when it ends", async () => {
  const storage = new MemoryStorage();
  const before = await open(storage);
  const session = await before.begin("sample", "n");
  before.close();
  await storage.set(Namespace.SESSION, "0".repeat(32), Buffer.from("half of a sess"));
  const sessions = await open(storage);
  expect(await sessions.find(session.id)).toMatchObject({ nonce: "n" });
  expect(await left(storage)).toEqual([session.id]);
  await vi.advanceTimersByTimeAsync(1002);
  expect(await left(storage)).toEqual([]);
});

it("a session is removed later when storage fails at its end", async () => {
  const storage = new MemoryStorage();
  const errors: unknown[] = [];
  const sessions = await Sessions.open(storage, 1000, Date.now, (error) => errors.push(error));
  await sessions.begin("sample", "n");
  const failing = vi.spyOn(storage, "delete").mockRejectedValueOnce(new Error("disk"));
  await vi.advanceTimersByTimeAsync(1002);
  expect(errors).toHaveLength(1);
  failing.mockRestore();
  await vi.advanceTimersByTimeAsync(1002);
  expect(await left(storage)).toEqual([]);
});

it("sessions of a replica that is gone end at their time through another, whenever they began", async () => {
  const storage = new MemoryStorage();
  const [gone, other] = [await open(storage), await open(storage)];
  const ids: string[] = [];
  for (let at = 0; at < 4; at++) {
    const session = await gone.begin("sample", String(at));
    ids.push(session.id);
    if (at % 2 === 0) await gone.attested(session, "token");
    await vi.advanceTimersByTimeAsync(300);
  }
  // 1200 ms: the first has ended, the others have not.
  gone.close();
  expect(await left(storage)).toEqual(ids.slice(1));
  expect(await other.find(ids[2] ?? "")).toMatchObject({ nonce: "2", token: "token" });
  await vi.advanceTimersByTimeAsync(1002);
  expect(await left(storage)).toEqual([]);
  // Nobody's, and in the meantime storage failed.
  const errors: unknown[] = [];
  const third = await Sessions.open(storage, 1000, Date.now, (error) => errors.push(error));
  const list = vi.spyOn(storage, "list").mockRejectedValue(new Error("disk"));
  await vi.advanceTimersByTimeAsync(1000);
  list.mockRestore();
  expect(errors).toHaveLength(1);
  await storage.set(Namespace.SESSION, "1".repeat(32), Buffer.from("half of a sess"));
  await vi.advanceTimersByTimeAsync(1002);
  expect(await left(storage)).toEqual([]);
  third.close();
  other.close();
});

it("each session of two replicas ends once, whoever began it", async () => {
  const storage = new MemoryStorage();
  const [one, two] = [await open(storage), await open(storage)];
  const deleted = vi.spyOn(storage, "delete");
  for (let at = 0; at < 6; at++) {
    await (at % 2 === 0 ? one : two).begin("sample", String(at));
    await vi.advanceTimersByTimeAsync(170);
  }
  await vi.advanceTimersByTimeAsync(3000);
  expect(await left(storage)).toEqual([]);
  const results = await Promise.all(deleted.mock.results.map(({ value }) => value as Promise<boolean>));
  expect(results.filter(Boolean)).toHaveLength(6);
  one.close();
  two.close();
  deleted.mockClear();
  await vi.advanceTimersByTimeAsync(3000);
  expect(deleted).not.toHaveBeenCalled();
});

it("a session that lives longer than a timer can wait is not looked for all the time", async () => {
  const storage = new MemoryStorage();
  const year = 400 * 24 * 3600 * 1000;
  const sessions = await Sessions.open(storage, year, Date.now, () => {});
  await sessions.begin("sample", "n");
  const list = vi.spyOn(storage, "list");
  await vi.advanceTimersByTimeAsync(1000);
  expect(list).not.toHaveBeenCalled();
  expect(vi.getTimerCount()).toBe(2);
  sessions.close();
  expect(vi.getTimerCount()).toBe(0);
});

it.each(["", "../x", "zz", "A".repeat(32)])("no session is called %j", async (id) => {
  expect(await (await open(new MemoryStorage())).find(id)).toBeUndefined();
});
