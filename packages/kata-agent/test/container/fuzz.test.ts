import { describe, expect, it } from "vitest";
import { parseCgroupMounts } from "../../src/container/cgroup-layout.ts";
import { readCgroupStatistics } from "../../src/container/cgroup-stats.ts";
import { runtimeFailure } from "../../src/container/runtime-error.ts";
import { needsKill } from "../../src/container/signals.ts";
import { CgroupFixture } from "./cgroup-fixture.ts";

/** Repeatable noise: 32 bits a call (xorshift). */
function noise(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Text of the given words in any order, with odd characters between. */
function jumble(next: () => number, words: readonly string[]): string {
  const odd = ["\n", " ", "-", ":", "=", "\0", "é", "18446744073709551616", "\\040", ""];
  return Array.from({ length: next() % 40 }, () => {
    const list = next() % 3 === 0 ? odd : words;
    return list[next() % list.length] ?? "";
  }).join(next() % 2 === 0 ? " " : "");
}

describe("texts from outside never break their readers", () => {
  it("mount tables", () => {
    const next = noise(1);
    for (let round = 0; round < 2000; round += 1) {
      const layout = parseCgroupMounts(jumble(next, ["cgroup", "cgroup2", " - ", "/sys/fs/cgroup", "rw,memory", "36"]));
      expect([1, 2]).toContain(layout.version);
    }
  });

  it("control files", () => {
    const next = noise(2);
    const words = ["8:0", "Read", "rbytes=1", "12", "max", "cache", "usage_usec", "\n8:0 Read 5\n"];
    const names = ["cpu.stat", "memory.stat", "memory.current", "io.stat", "pids.max", "hugetlb.2MB.current"];
    for (let round = 0; round < 100; round += 1) {
      const fixture = new CgroupFixture(2, Object.fromEntries(names.map((name) => [name, jumble(next, words)])));
      const stats = readCgroupStatistics(fixture.cgroup);
      fixture.remove();
      expect(typeof stats.memory_stats.usage.usage).toBe("bigint");
      expect(stats.pids_stats.limit >= 0n).toBe(true);
    }
  });

  it("a runtime's log and a process's status", () => {
    const next = noise(3);
    const words = ['{"level":"error","msg":"x"}', '{"level":', "null", "[]", 'exec: "', '": stat', "SigBlk:\t", "00"];
    for (let round = 0; round < 2000; round += 1) {
      const text = jumble(next, words);
      expect(runtimeFailure("create", 1, text).message).not.toBe("");
      expect(typeof needsKill(text)).toBe("boolean");
    }
  });
});
