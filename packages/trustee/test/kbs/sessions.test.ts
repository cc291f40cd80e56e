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

it.each(["", "../x", "zz", "A".repeat(32)])("no session is called %j", async (id) => {
  expect(await (await open(new MemoryStorage())).find(id)).toBeUndefined();
});
