import { describe, expect, it } from "vitest";

import { MAX_PENDING_OOM_EVENTS, OomEvents } from "../src/oom-events.ts";

const forever = new AbortController().signal;

describe("OomEvents", () => {
  it("gives each event to one reader, in order", async () => {
    const events = new OomEvents();
    const first = events.next(forever);
    const second = events.next(forever);
    events.add("a");
    events.add("b");
    events.add("c");
    expect(await Promise.all([first, second, events.next(forever)])).toEqual(["a", "b", "c"]);
  });

  it("does not lose an event to a reader that went away", async () => {
    const events = new OomEvents();
    const gone = new AbortController();
    const reader = events.next(gone.signal);
    gone.abort(new Error("gone"));
    await expect(reader).rejects.toThrow("gone");
    events.add("a");
    expect(await events.next(forever)).toBe("a");
  });

  it("ends all readers with the recorded text when the sandbox goes", async () => {
    const events = new OomEvents();
    const readers = [events.next(forever), events.next(forever)];
    events.close();
    for (const reader of readers) await expect(reader).rejects.toMatchObject({ code: 13, message: '""' });
    await expect(events.next(forever)).rejects.toMatchObject({ code: 13 });
    events.add("late");
    await expect(events.next(forever)).rejects.toMatchObject({ code: 13 });
  });

  it("keeps a bounded number of events, the newest", async () => {
    const events = new OomEvents();
    for (let i = 0; i <= MAX_PENDING_OOM_EVENTS; i++) events.add(String(i));
    expect(await events.next(forever)).toBe("1");
  });

  it("does not start to wait for a caller that is gone already", async () => {
    const events = new OomEvents();
    await expect(events.next(AbortSignal.abort(new Error("late")))).rejects.toThrow("late");
    events.add("a");
    expect(await events.next(forever)).toBe("a");
  });
});
