import { describe, expect, it } from "vitest";

import {
  formatTraceEvent,
  MAX_DETAIL_LENGTH,
  MAX_NAME_LENGTH,
  parseTraceEvent,
  type TraceEvent,
} from "../src/index.ts";
import { Random } from "./random.ts";

const event = (over: Partial<TraceEvent>): TraceEvent => ({
  begin: 12_377_541,
  lasted: 0,
  name: "nvrc.node",
  detail: "",
  ...over,
});

describe("an event's text", () => {
  it.each([
    [event({}), "event 12.377541 nvrc.node"],
    [event({ begin: 0, lasted: 22_256 }), "event 0.000000+0.022256 nvrc.node"],
    [event({ name: "kata-agent.call", detail: "Check" }), "event 12.377541 kata-agent.call Check"],
    [event({ begin: 999_999_999_999_999, detail: "a b" }), "event 999999999.999999 nvrc.node a b"],
  ])("%j", (value, text) => {
    expect(formatTraceEvent(value)).toBe(text);
    expect(parseTraceEvent(text)).toEqual(value);
  });

  it("has one line of printable ASCII whatever the detail", () => {
    expect(formatTraceEvent(event({ detail: 'a\nevent 1.000000 b.c\u001b[2J\u009b"é\ud83d' }))).toBe(
      'event 12.377541 nvrc.node a?event 1.000000 b.c?[2J?"??',
    );
    const long = formatTraceEvent(event({ detail: "x".repeat(10_000) }));
    expect(parseTraceEvent(long)?.detail).toBe("x".repeat(MAX_DETAIL_LENGTH));
  });

  it.each([
    "",
    "event",
    "event 12.377541",
    "event 12.37754 nvrc.node",
    "event 12.3775411 nvrc.node",
    "event -1.000000 nvrc.node",
    "event 1234567890.000000 nvrc.node",
    "event 1.000000+ nvrc.node",
    "event 1.000000+-1.000000 nvrc.node",
    "event 1.000000  nvrc.node",
    "event 1.000000 nvrc",
    "event 1.000000 NVRC.node",
    "event 1.000000 nvrc.node ",
    "event 1.000000 nvrc.node\n",
    "event 1.000000 nvrc.node a\u001bb",
    ` event 1.000000 nvrc.node`,
    `event 1.000000 nvrc.${"x".repeat(MAX_NAME_LENGTH)}`,
    `event 1.000000 nvrc.node ${"x".repeat(MAX_DETAIL_LENGTH + 1)}`,
  ])("is not %j", (text) => expect(parseTraceEvent(text)).toBeUndefined());
});

describe("hostile texts (seeded)", () => {
  const ALPHABET = [
    ..."event 0123456789.+-abcnv\n\u001b\u0000\u2028é".split(""),
    "event 1.000000",
    "+0.000001",
    " nvrc.node",
    " x",
  ];

  it("give an event that is written as it was read, or none", () => {
    const random = new Random(7);
    let events = 0;
    for (let i = 0; i < 50_000; i++) {
      const text = Array.from({ length: random.below(12) }, () => random.pick(ALPHABET)).join("");
      const read = parseTraceEvent(random.below(2) === 0 ? text : `event 1.000000 nvrc.node${text}`);
      if (read === undefined) continue;
      events++;
      expect(parseTraceEvent(formatTraceEvent(read))).toEqual(read);
      expect(read.detail).toMatch(/^[ -~]*$/u);
    }
    expect(events).toBeGreaterThan(1000);
  });

  it("every event that can be written is read again", () => {
    const random = new Random(8);
    for (let i = 0; i < 5_000; i++) {
      const value: TraceEvent = {
        begin: random.below(2 ** 31) * 1000 + random.below(1000),
        lasted: random.below(3) === 0 ? 0 : random.below(2 ** 31),
        name: random.pick(["nvrc.node", "kata-agent.call", "a.1-2"]),
        detail: random
          .bytes(random.below(20))
          .toString("latin1")
          .replaceAll(/[^ -~]/gu, "?"),
      };
      expect(parseTraceEvent(formatTraceEvent(value))).toEqual(value);
    }
  });
});
