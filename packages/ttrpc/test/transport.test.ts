import { describe, expect, it } from "vitest";
import { type Transport, transportPair } from "../src/index.ts";

function record(t: Transport): { events: string[]; until: (event: string) => Promise<void> } {
  const events: string[] = [];
  let wake = (): void => {};
  const note = (event: string): void => {
    events.push(event);
    wake();
  };
  t.start({
    data: (chunk) => note(Buffer.from(chunk).toString()),
    end: () => note("end"),
    close: (err) => note(err === undefined ? "close" : `close: ${err.message}`),
    drain: () => note("drain"),
  });
  return {
    events,
    until: async (event) => {
      while (!events.includes(event)) await new Promise<void>((resolve) => (wake = resolve));
    },
  };
}

describe("a pair in memory", () => {
  it("carries bytes both ways and closes when both have ended", async () => {
    const [a, b] = transportPair();
    const [ra, rb] = [record(a), record(b)];
    a.write([Buffer.from("1"), Buffer.from("2")]);
    b.write([Buffer.from("3")]);
    a.end();
    await rb.until("end");
    b.write([Buffer.from("4")]);
    b.end();
    await Promise.all([ra.until("close"), rb.until("close")]);
    expect(ra.events).toEqual(["3", "4", "end", "close"]);
    expect(rb.events).toEqual(["1", "2", "end", "close"]);
  });

  it("pushes back and tells when there is room", async () => {
    const [a, b] = transportPair();
    const ra = record(a);
    const rb = record(b);
    b.pause();
    expect(a.write([Buffer.alloc(1000)])).toBe(true);
    expect(a.write([Buffer.alloc(100_000)])).toBe(false);
    await new Promise<void>((resolve) => void setImmediate(resolve));
    expect(rb.events).toEqual([]);
    b.resume();
    await ra.until("drain");
    expect(rb.events.length).toBe(2);
  });

  it("tells the other side of a reset, once, and takes no more", async () => {
    const [a, b] = transportPair();
    const [ra, rb] = [record(a), record(b)];
    a.destroy(new Error("bad peer"));
    a.destroy();
    await rb.until("close: connection reset by peer");
    expect(b.write([Buffer.from("x")])).toBe(true);
    expect(ra.events).toEqual(["close: bad peer"]);
    expect(rb.events).toEqual(["close: connection reset by peer"]);
  });
});
