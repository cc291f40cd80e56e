import { describe, expect, it } from "vitest";

import { chart } from "../../src/trace/chart.ts";
import { axisStep } from "../../src/trace/describe.ts";
import { timelineOf } from "../../src/trace/timeline.ts";
import { BOOT_LOG } from "./boot-log.ts";

const SUBJECT = { guest: "0a1b2c3d", kind: "simulated", created: "2026-11-25T00:00:00.000Z" };

describe("chart", () => {
  it("is a row an event, in plain characters", () => {
    const lines = chart(SUBJECT, timelineOf(BOOT_LOG), 100).split("\n");
    expect(lines.slice(0, 2)).toEqual([
      "Boot of guest 0a1b2c3d, simulated, 2026-11-25T00:00:00.000Z",
      "after init began: components ready 180 ms, agent listening 190 ms, agent answering 201 ms, first output 500 ms",
    ]);
    expect(lines.join("")).toMatch(/^[ -~]*$/u);
    expect(lines.find((line) => line.includes("CreateContainer"))).toMatch(
      /call CreateContainer abababab +\| +=+ +\| +400 +150$/u,
    );
    expect(lines.slice(3).find((line) => line.includes("listening"))).toMatch(/listening +\| +\* +\| +290$/u);
  });

  it.each([60, 80, 100, 200])("keeps to %d columns below its heading", (columns) => {
    const lines = chart(SUBJECT, timelineOf(BOOT_LOG), columns).split("\n").slice(2);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(columns);
    expect(new Set(lines.slice(2, -1).map((line) => line.indexOf("|"))).size).toBe(1);
  });

  it("shows one moment alone, and tells how many rows it left out", () => {
    expect(chart(SUBJECT, timelineOf("NVRC event 1.000000 nvrc.a\n"))).toContain("nvrc a |*");
    expect(chart(SUBJECT, timelineOf("NVRC event 1.000000 nvrc.a\n".repeat(450)))).toContain("... and 50 events more");
  });

  it("does not let an image's name steer the terminal", () => {
    expect(chart({ ...SUBJECT, image: "x\u001b[2J\n" }, timelineOf(BOOT_LOG))).toMatch(/, x\\x1b\[2J\\n\n/u);
  });
});

it.each([
  [1200, 8, 200],
  [1000, 10, 100],
  [0.9, 8, 0.2],
  [10, 1, 10],
  [0, 8, 0.001],
])("an axis of %d with at most %d marks has one every %d", (length, most, step) => {
  expect(axisStep(length, most)).toBeCloseTo(step, 9);
});
