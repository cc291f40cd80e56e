import { describe, expect, it } from "vitest";

import { parseKernelCommandLine, Tracer, traceWanted } from "../src/index.ts";

/** A tracer on a clock that the test moves, in microseconds. */
class Traced {
  time = 1_000_000;
  reads = 0;
  readonly lines: string[] = [];
  readonly tracer = new Tracer({
    subject: "s",
    now: () => {
      this.reads += 1;
      return BigInt(this.time) * 1000n;
    },
    write: (text) => this.lines.push(text),
  });
}

describe("Tracer", () => {
  it("keeps what was before the decision, and writes it then", async () => {
    const traced = new Traced();
    traced.tracer.mark("early", "x");
    const end = traced.tracer.begin("over");
    traced.time += 5;
    expect(traced.lines).toEqual([]);
    traced.tracer.decide(true);
    end();
    expect(await traced.tracer.step("first", 7)).toBe(7);
    traced.time += 10;
    expect(await traced.tracer.step("second", Promise.resolve(8))).toBe(8);
    expect(traced.lines).toEqual([
      "event 1.000000 s.early x",
      "event 1.000000+0.000005 s.over",
      "event 1.000000+0.000005 s.first",
      "event 1.000005+0.000010 s.second",
    ]);
  });

  it("tells the interpreter's part of a start from the program's", async () => {
    const traced = new Traced();
    traced.time += 3;
    await traced.tracer.step("first", undefined);
    traced.tracer.decide(true);
    // Asked late: what was before the tracer stays what it was.
    traced.tracer.started(40.003, 25);
    traced.time += 4;
    await traced.tracer.step("next", undefined);
    expect(traced.lines).toEqual([
      "event 1.000000+0.000003 s.first",
      "event 0.960000+0.025000 s.node",
      "event 0.985000+0.015000 s.load",
      "event 1.000003+0.000004 s.next",
    ]);
  });

  it("a span ends with its work, also with one that fails, and gives what that gave", async () => {
    const traced = new Traced();
    traced.tracer.decide(true);
    const work = (): Promise<string> => {
      traced.time += 1;
      return Promise.resolve("done");
    };
    expect(await traced.tracer.span("ok", "d", work)).toBe("done");
    await expect(traced.tracer.span("no", "", () => Promise.reject(new Error("x")))).rejects.toThrow("x");
    expect(traced.lines).toEqual(["event 1.000000+0.000001 s.ok d", "event 1.000001 s.no"]);
  });

  it("writes nothing and reads no clock where nobody wants events", async () => {
    const traced = new Traced();
    traced.tracer.mark("early");
    traced.tracer.decide(false);
    const { reads } = traced;
    traced.tracer.mark("m");
    traced.tracer.started(1, 1);
    traced.tracer.begin("b")();
    expect(await traced.tracer.span("s", "", () => Promise.resolve(1))).toBe(1);
    expect(await traced.tracer.step("t", 2)).toBe(2);
    expect(traced).toMatchObject({ lines: [], reads });
  });

  it("keeps a bounded number before the decision", () => {
    const traced = new Traced();
    for (let i = 0; i < 1000; i++) traced.tracer.mark("m");
    traced.tracer.decide(true);
    expect(traced.lines.length).toBe(64);
  });
});

it.each([
  ["nacre.trace", true],
  ["a nacre.trace=1 b", true],
  ['x="nacre.trace"', false],
  ["nacre.traces", false],
  ["-- nacre.trace", false],
  ["", false],
])("traceWanted of %j is %s", (text, wanted) => {
  expect(traceWanted(parseKernelCommandLine(text))).toBe(wanted);
});
