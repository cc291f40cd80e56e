import { describe, expect, it } from "vitest";
import { Deadlines, type Expiring } from "../src/deadlines.ts";
import { FakeClock } from "./fake-clock.ts";
import { Random } from "./random.ts";

function setup() {
  const clock = new FakeClock();
  const expired: number[] = [];
  const entry = (inMs: number): Expiring => {
    const at = clock.now() + inMs;
    return { at, slot: -1, expire: () => expired.push(inMs) };
  };
  return { clock, deadlines: new Deadlines(clock), expired, entry };
}

describe("deadlines", () => {
  it("expire in order, each once, with one timer armed", () => {
    const { clock, deadlines, expired, entry } = setup();
    for (const ms of [50, 10, 30, 10, 40]) deadlines.add(entry(ms));
    expect(clock.armed).toBe(1);
    clock.advance(9);
    expect(expired).toEqual([]);
    clock.advance(31);
    expect(expired).toEqual([10, 10, 30, 40]);
    expect(clock.armed).toBe(1);
    clock.advance(100);
    expect(expired).toEqual([10, 10, 30, 40, 50]);
    expect(clock.armed).toBe(0);
  });

  it("are forgotten when removed, twice removed too", () => {
    const { clock, deadlines, expired, entry } = setup();
    const [a, b] = [entry(10), entry(20)];
    deadlines.add(a);
    deadlines.add(b);
    deadlines.remove(a);
    deadlines.remove(a);
    clock.advance(100);
    expect(expired).toEqual([20]);
    expect(deadlines.size).toBe(0);
  });

  it("can lie further away than one timer reaches", () => {
    const { clock, deadlines, expired, entry } = setup();
    deadlines.add(entry(2 ** 33));
    clock.advance(2 ** 32);
    expect(expired).toEqual([]);
    clock.advance(2 ** 33);
    expect(expired).toEqual([2 ** 33]);
  });

  it("that have passed already expire at once, not never", () => {
    const { clock, deadlines, expired, entry } = setup();
    deadlines.add(entry(-5));
    clock.advance(0);
    expect(expired).toEqual([-5]);
  });

  it("agree with a sorted list under any mixture (seeded)", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = new Random(seed);
      const { clock, deadlines, expired, entry } = setup();
      const live = new Set<{ e: Expiring; ms: number }>();
      for (let i = 0; i < 100; i++) {
        if (random.int(3) > 0) {
          const ms = random.int(1000);
          const e = entry(ms);
          deadlines.add(e);
          live.add({ e, ms });
        } else {
          const gone = [...live][random.int(Math.max(live.size, 1))];
          if (gone === undefined) continue;
          deadlines.remove(gone.e);
          live.delete(gone);
        }
      }
      expect(deadlines.size).toBe(live.size);
      clock.advance(1000);
      expect(expired, `seed ${seed}`).toEqual([...live].map((l) => l.ms).sort((a, b) => a - b));
    }
  });
});
