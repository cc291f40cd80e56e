import { expect, it } from "vitest";

import { runSizeKib } from "../src/run-size.ts";

const GIB = 1024 * 1024;
const meminfo = (kib: number): string => `MemTotal:       ${kib} kB\nMemFree:        100 kB\n`;

it.each([
  // In a small guest half; beyond that all but what kernel and daemons need.
  [256 * 1024, 128 * 1024],
  [GIB, GIB / 2],
  [2 * GIB, 1.5 * GIB],
  [16 * GIB, 15.5 * GIB],
])("of %d KiB memory /run takes %d", (total, size) => {
  expect(runSizeKib(meminfo(total))).toBe(size);
});

it.each(["", "MemFree: 1 kB", "MemTotal: x kB", "MemTotal: 0 kB", "MemTotal: 99999999999999999999 kB"])(
  "refuses %j",
  (text) => {
    expect(() => runSizeKib(text)).toThrow("/proc/meminfo: expected MemTotal, got none");
  },
);
