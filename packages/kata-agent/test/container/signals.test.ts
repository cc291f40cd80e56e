import { describe, expect, it } from "vitest";
import { needsKill } from "../../src/container/signals.ts";

const status = (blocked: string, ignored: string, caught: string): string =>
  `Name:\tsleep\nSigQ:\t0/100\nSigPnd:\t0000000000000000\nSigBlk:\t${blocked}\nSigIgn:\t${ignored}\nSigCgt:\t${caught}\n`;
const NONE = "0000000000000000";
const TERM = "0000000000004000";

describe("needsKill", () => {
  it("is true where SIGTERM has no effect on a first process", () => {
    expect(needsKill(status(NONE, NONE, NONE))).toBe(true);
    expect(needsKill(status("0000000000002000", NONE, "0000000000008000"))).toBe(true);
  });

  it.each([
    ["blocked", status(TERM, NONE, NONE)],
    ["ignored", status(NONE, TERM, NONE)],
    ["handled", status(NONE, NONE, TERM)],
  ])("is false when it is %s", (_, text) => {
    expect(needsKill(text)).toBe(false);
  });

  it("is false when the process is gone or the text is not what is expected", () => {
    expect(needsKill(undefined)).toBe(false);
    expect(needsKill("SigBlk:\t0\n")).toBe(false);
  });
});
