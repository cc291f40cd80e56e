import { describe, expect, it } from "vitest";

import { kmsgRecord, Log, MAX_KMSG } from "../src/log.ts";

it("a log that is off tells panics, and events, which a parameter of their own asks for", () => {
  const told: string[] = [];
  const log = new Log((priority, text) => told.push(`<${priority}>${text}`), "off");
  log.error("x");
  log.event("event 1.000000 nvrc.mounts");
  log.panic("y");
  expect(told).toEqual(["<6>NVRC event 1.000000 nvrc.mounts", "<0>NVRC panic: y"]);
});

describe("kmsgRecord", () => {
  it("is one line with its priority", () => {
    expect(kmsgRecord(0, "NVRC panic: mount proc").toString()).toBe("<0>NVRC panic: mount proc\n");
  });

  it("has no second line, and no control character that a terminal would obey", () => {
    expect(kmsgRecord(6, "a\n<0>b\u001b[2Jc\0").toString()).toBe("<6>a <0>b [2Jc \n");
  });

  it("is never longer than the kernel takes", () => {
    expect(kmsgRecord(6, "é".repeat(2000)).length).toBe(MAX_KMSG + 4);
  });
});
