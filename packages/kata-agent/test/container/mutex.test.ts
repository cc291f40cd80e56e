import { describe, expect, it } from "vitest";
import { Mutex } from "../../src/container/mutex.ts";

describe("Mutex", () => {
  it("lets one in at a time, in the order of asking", async () => {
    const mutex = new Mutex();
    const seen: string[] = [];
    const gate = Promise.withResolvers<void>();
    const first = mutex.run(undefined, async () => {
      seen.push("first in");
      await gate.promise;
      seen.push("first out");
    });
    const rest = ["second", "third"].map((name) => mutex.run(undefined, async () => void seen.push(name)));
    gate.resolve();
    await Promise.all([first, ...rest]);
    expect(seen).toEqual(["first in", "first out", "second", "third"]);
  });

  it("goes on after work that failed", async () => {
    const mutex = new Mutex();
    await expect(mutex.run(undefined, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    await expect(mutex.run(undefined, async () => 1)).resolves.toBe(1);
  });

  it("leaves the queue when its signal aborts and never runs the work", async () => {
    const mutex = new Mutex();
    const gate = Promise.withResolvers<void>();
    const abort = new AbortController();
    let ran = false;
    const holder = mutex.run(undefined, () => gate.promise);
    const waiting = mutex.run(abort.signal, async () => {
      ran = true;
    });
    const last = mutex.run(undefined, async () => "last");
    abort.abort(new Error("gone"));
    await expect(waiting).rejects.toThrow("gone");
    gate.resolve();
    await holder;
    expect(await last).toBe("last");
    expect(ran).toBe(false);
  });

  it("refuses a signal that has aborted already", async () => {
    const mutex = new Mutex();
    await expect(mutex.run(AbortSignal.abort(new Error("early")), async () => 1)).rejects.toThrow("early");
    await expect(mutex.run(undefined, async () => 2)).resolves.toBe(2);
  });
});
