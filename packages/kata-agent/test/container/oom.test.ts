import { openSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { DescriptorCalls, Readiness } from "@nacre/kata-sys-util";
import { afterEach, describe, expect, it } from "vitest";
import { watchOom } from "../../src/container/oom.ts";
import type { OomWatch } from "../../src/container/ports.ts";
import { CgroupFixture } from "./cgroup-fixture.ts";
import { recordingLogger } from "./fakes.ts";

let fixture: CgroupFixture | undefined;
let watching: OomWatch | undefined;
afterEach(() => {
  watching?.close();
  fixture?.remove();
  watching = undefined;
  fixture = undefined;
});

const READY: Readiness = { readable: true, writable: false, disconnect: false, error: undefined };

/** An eventfd that the test makes readable. */
class FakeEvents implements Pick<DescriptorCalls, "eventfd" | "poll" | "read"> {
  readonly #path: string;
  readonly calls: string[] = [];
  fire: () => void = () => {};

  constructor(path: string) {
    this.#path = path;
  }

  eventfd(): number {
    return openSync(this.#path, "r");
  }

  read(_: number, buffer: Uint8Array): number | undefined {
    return buffer.length;
  }

  poll(...[, , callback]: Parameters<DescriptorCalls["poll"]>): ReturnType<DescriptorCalls["poll"]> {
    this.fire = () => callback(READY);
    const note = (name: string) => (): void => void this.calls.push(name);
    return { start: note("start"), stop: note("stop"), close: note("close"), ref: note("ref"), unref: note("unref") };
  }
}

describe("watchOom", () => {
  it("tells a kill of version 2 from other events", async () => {
    fixture = new CgroupFixture(2, { "memory.events": "max 0\noom 0\noom_kill 0\n" });
    const file = join(fixture.root, "pod/c1/memory.events");
    let kills = 0;
    const first = Promise.withResolvers<void>();
    watching = watchOom(new FakeEvents(file), recordingLogger().logger, fixture.cgroup, () => {
      kills += 1;
      first.resolve();
    });
    writeFileSync(file, "max 5\noom 1\noom_kill 0\n");
    writeFileSync(file, "max 5\noom 1\noom_kill 2\n");
    await first.promise;
    expect(kills).toBe(1);
  });

  it("registers an eventfd on version 1 and tells every notice until the group is gone", () => {
    fixture = new CgroupFixture(1, {
      "memory:memory.oom_control": "oom_kill_disable 0\n",
      "memory:cgroup.event_control": "",
    });
    const control = join(fixture.root, "memory/pod/c1/memory.oom_control");
    const events = new FakeEvents(control);
    let kills = 0;
    watching = watchOom(events, recordingLogger().logger, fixture.cgroup, () => {
      kills += 1;
    });
    expect(fixture.read("memory:cgroup.event_control")).toMatch(/^\d+ \d+$/);
    events.fire();
    events.fire();
    expect(kills).toBe(2);
    rmSync(control);
    events.fire();
    expect(kills).toBe(2);
    watching?.close();
    watching = undefined;
    expect(events.calls).toEqual(["unref", "close"]);
  });

  it("says in the log that a guest cannot tell", () => {
    fixture = new CgroupFixture(1, { "memory:memory.oom_control": "" });
    const { logger, lines } = recordingLogger();
    const events = new FakeEvents(join(fixture.root, "memory/pod/c1/memory.oom_control"));
    expect(watchOom(events, logger, fixture.cgroup, () => {})).toBeUndefined();
    expect(lines).toEqual(["warning no notice of lack of memory"]);
  });
});
