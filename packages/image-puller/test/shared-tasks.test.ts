import { describe, expect, it } from "vitest";
import { SharedTasks } from "../src/shared-tasks.ts";

/** A task that ends when told, or with its signal. */
function task(): { starts: number; start: (signal: AbortSignal) => Promise<string>; end: (text: string) => void } {
  const result = Promise.withResolvers<string>();
  const state = {
    starts: 0,
    end: result.resolve,
    start: async (signal: AbortSignal): Promise<string> => {
      state.starts += 1;
      const aborted = new Promise<never>((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason as Error));
      });
      return await Promise.race([result.promise, aborted]);
    },
  };
  return state;
}

describe("SharedTasks", () => {
  it("runs one task for all and a new one afterwards", async () => {
    const tasks = new SharedTasks<string>();
    const work = task();
    const all = [tasks.run("k", work.start), tasks.run("k", work.start), tasks.run("other", work.start)];
    work.end("done");
    expect(await Promise.all(all)).toEqual(["done", "done", "done"]);
    expect(work.starts).toBe(2);
    await tasks.run("k", work.start);
    expect(work.starts).toBe(3);
  });

  it("lets one caller go and keeps working for the other", async () => {
    const tasks = new SharedTasks<string>();
    const work = task();
    const abort = new AbortController();
    const leaving = tasks.run("k", work.start, abort.signal);
    const staying = tasks.run("k", work.start);
    abort.abort(new Error("gone"));
    await expect(leaving).rejects.toThrow("gone");
    work.end("done");
    expect(await staying).toBe("done");
  });

  it("aborts the task with its last caller, and starts anew for the next", async () => {
    const tasks = new SharedTasks<string>();
    const first = task();
    const abort = new AbortController();
    const leaving = tasks.run("k", first.start, abort.signal);
    leaving.catch(() => undefined);
    abort.abort(new Error("gone"));
    const second = task();
    const coming = tasks.run("k", second.start);
    await expect(leaving).rejects.toThrow("gone");
    second.end("again");
    expect(await coming).toBe("again");
  });

  it("does not start for a caller who has gone already", async () => {
    const work = task();
    await expect(new SharedTasks<string>().run("k", work.start, AbortSignal.abort(new Error("gone")))).rejects.toThrow(
      "gone",
    );
    expect(work.starts).toBe(0);
  });

  it("gives a failure to all, and forgets it", async () => {
    const tasks = new SharedTasks<string>();
    const fail = async (): Promise<string> => {
      throw new Error("no");
    };
    const both = await Promise.allSettled([tasks.run("k", fail), tasks.run("k", fail)]);
    expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(await tasks.run("k", async () => "yes")).toBe("yes");
  });
});
