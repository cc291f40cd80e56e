import { describe, expect, it } from "vitest";

import { createLogger } from "../../src/log.ts";
import type { Component } from "../../src/launch/component.ts";
import {
  CRASH_WINDOW_MS,
  type ComponentExit,
  type ComponentProcess,
  FIRST_BACKOFF_MS,
  HEALTHY_AFTER_MS,
  type LaunchPorts,
  MAX_BACKOFF_MS,
  MAX_CRASHES,
  STOP_GRACE_MS,
  Supervisor,
} from "../../src/launch/supervise.ts";

const component: Component = {
  id: "hub",
  path: "/bin/hub",
  args: [],
  env: {},
  socket: "/run/hub.sock",
  timeoutMs: 60_000,
};
const plan = { start: [component], missing: [] };

/** A world in which processes end when the test says so, and pauses pass at once but are noted. */
class World implements LaunchPorts {
  readonly delays: number[] = [];
  readonly events: string[] = [];
  readonly processes: Array<{ end(exit: ComponentExit): void; kills: string[] }> = [];
  readonly log = createLogger({ level: "trace", version: "0", pid: 1, write: (line) => this.#write(line) });
  readonly lines: string[] = [];
  /** Launches that were timed to their end. */
  readonly launched: string[] = [];
  readonly tracer = {
    begin:
      (step: string, detail = "") =>
      () =>
        void this.launched.push(`${step} ${detail}`),
  };
  time = 0;
  /** Processes pass over SIGTERM. */
  deaf = false;
  ready: (attempt: number) => Promise<void> = () => Promise.resolve();
  #waiting: Array<{ count: number; text: string; resolve: () => void }> = [];

  spawn(): Promise<ComponentProcess> {
    const { promise: exited, resolve: end } = Promise.withResolvers<ComponentExit>();
    const kills: string[] = [];
    this.events.push("spawn");
    const pid = this.processes.push({ end, kills });
    return Promise.resolve({
      pid,
      exited,
      kill: (signal) => {
        kills.push(signal);
        if (!this.deaf || signal === "SIGKILL") end({ code: null, signal });
      },
    });
  }

  removeSocket(path: string): Promise<void> {
    this.events.push(`remove ${path}`);
    return Promise.resolve();
  }

  waitForSocket(path: string, signal: AbortSignal): Promise<void> {
    this.events.push(`wait ${path}`);
    return Promise.race([
      this.ready(this.processes.length),
      new Promise<never>((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason as Error));
      }),
    ]);
  }

  delay(ms: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.delays.push(ms);
    return Promise.resolve();
  }

  now(): number {
    return this.time;
  }

  /** Resolves when the log has told this so many times. */
  told(text: string, count: number): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ count, text, resolve });
      this.#look();
    });
  }

  #write(line: string): void {
    this.lines.push(line);
    this.#look();
  }

  #look(): void {
    for (const { count, text, resolve } of this.#waiting) {
      if (this.lines.filter((line) => line.includes(text)).length >= count) resolve();
    }
  }
}

const READY = "guest component is ready";
const never = (): Promise<void> => new Promise(() => undefined);

describe("Supervisor", () => {
  it("removes a stale socket, starts, and is ready when the socket is", async () => {
    const world = new World();
    const supervisor = new Supervisor(world);
    await supervisor.launch(plan);
    expect(world.events).toEqual(["remove /run/hub.sock", "spawn", "wait /run/hub.sock"]);
    expect(world.launched).toEqual(["launch hub"]);
    await supervisor.stop();
    expect(world.processes[0]?.kills).toEqual(["SIGTERM"]);
  });

  it("fails when the process ends before it is ready", async () => {
    const world = new World();
    world.ready = never;
    const launching = new Supervisor(world).launch(plan);
    await new Promise(setImmediate);
    world.processes[0]?.end({ code: 3, signal: null });
    await expect(launching).rejects.toMatchObject({
      code: 13,
      message: "hub ended before it was ready: exit status 3",
    });
  });

  it("fails, and kills the process, when the socket does not open in time", async () => {
    const world = new World();
    world.ready = never;
    const launching = new Supervisor(world).launch({ start: [{ ...component, timeoutMs: 1 }], missing: [] });
    await expect(launching).rejects.toThrow("hub: no socket /run/hub.sock after 1 ms");
    expect(world.processes[0]?.kills).toEqual(["SIGKILL"]);
  });

  it("starts a component again on its exit, with pauses that double and stay bounded", async () => {
    const world = new World();
    const supervisor = new Supervisor(world);
    await supervisor.launch(plan);
    for (let i = 1; i <= 9; i++) {
      // An end with status 0 is none of the crashes that are too many.
      world.processes.at(-1)?.end({ code: 0, signal: null });
      await world.told(READY, i + 1);
      await new Promise(setImmediate);
    }
    expect(supervisor.states.get("hub")).toEqual({ ready: true, restarts: 9, crashes: 0 });
    expect(world.delays).toEqual([100, 200, 400, 800, 1600, 3200, 6400, MAX_BACKOFF_MS, MAX_BACKOFF_MS]);
    await supervisor.stop();
  });

  it("starts all at once, and ends the others when one does not start", async () => {
    const world = new World();
    world.ready = never;
    const supervisor = new Supervisor(world);
    const launching = supervisor.launch({ start: [component, { ...component, id: "other" }], missing: [] });
    await new Promise(setImmediate);
    expect(world.processes).toHaveLength(2);
    world.processes[1]?.end({ code: 1, signal: null });
    await expect(launching).rejects.toThrow("other ended before it was ready: exit status 1");
    expect(world.processes.map(({ kills }) => kills)).toEqual([["SIGKILL"], ["SIGKILL"]]);
  });

  it("tells once when all run that are waited for, before any of them is ready", async () => {
    const { socket: _, ...quiet } = component;
    const world = new World();
    const opened = Promise.withResolvers<void>();
    world.ready = () => opened.promise;
    const supervisor = new Supervisor(world);
    let told = 0;
    const start = [component, { ...component, id: "other" }, { ...quiet, id: "rest" }];
    const launching = supervisor.launch({ start, missing: [] }, () => {
      told += 1;
      expect(world.processes).toHaveLength(2);
    });
    await new Promise(setImmediate);
    expect(told).toBe(1);
    opened.resolve();
    await launching;
    // Nor is a restart told.
    world.processes[0]?.end({ code: 0, signal: null });
    await world.told(READY, 4);
    expect(told).toBe(1);
    await supervisor.stop();
  });

  it("kills a component that does not end when it is asked to", async () => {
    const world = new World();
    const supervisor = new Supervisor(world);
    world.deaf = true;
    await supervisor.launch(plan);
    await supervisor.stop();
    expect(world.processes[0]?.kills).toEqual(["SIGTERM", "SIGKILL"]);
    expect(world.delays).toEqual([STOP_GRACE_MS]);
  });

  it("waits for no socket of a component without one", async () => {
    const world = new World();
    world.ready = never;
    const { socket: _, ...quiet } = component;
    const supervisor = new Supervisor(world);
    await supervisor.launch({ start: [quiet], missing: [] });
    expect(world.events).toEqual(["spawn"]);
    await supervisor.stop();
  });

  it("starts what has no socket after what others wait for, and not where that fails", async () => {
    const { socket: _, ...quiet } = component;
    const both = { start: [{ ...quiet, id: "rest" }, component], missing: [] };
    const world = new World();
    const opened = Promise.withResolvers<void>();
    world.ready = () => opened.promise;
    const supervisor = new Supervisor(world);
    const launching = supervisor.launch(both);
    await new Promise(setImmediate);
    expect(world.events).toEqual(["remove /run/hub.sock", "spawn", "wait /run/hub.sock"]);
    opened.resolve();
    await launching;
    expect(world.launched).toEqual(["launch hub", "launch rest"]);
    await supervisor.stop();
    expect(world.processes.map(({ kills }) => kills)).toEqual([["SIGTERM"], ["SIGTERM"]]);

    const failing = new World();
    failing.ready = () => Promise.reject(new Error("no"));
    await expect(new Supervisor(failing).launch(both)).rejects.toThrow("no");
    expect(failing.processes).toHaveLength(1);
  });

  it("gives up after five crashes within a minute, and not before", async () => {
    const world = new World();
    const supervisor = new Supervisor(world);
    await supervisor.launch(plan);
    const crash = async (count: number): Promise<void> => {
      world.processes.at(-1)?.end({ code: null, signal: "SIGSEGV" });
      await world.told(READY, count + 1);
      await new Promise(setImmediate);
    };
    for (let i = 1; i < MAX_CRASHES; i++) await crash(i);
    world.time = CRASH_WINDOW_MS;
    await crash(MAX_CRASHES);
    for (let i = 1; i < MAX_CRASHES - 1; i++) await crash(MAX_CRASHES + i);
    expect(supervisor.states.get("hub")).toMatchObject({ ready: true, crashes: 2 * MAX_CRASHES - 2 });
    world.processes.at(-1)?.end({ code: 1, signal: null });
    await expect(supervisor.givenUp).rejects.toMatchObject({
      code: 13,
      message: "hub: expected fewer than 5 crashes within 60 s, got 5",
    });
    expect(supervisor.states.get("hub")?.ready).toBe(false);
    await supervisor.stop();
  });

  it("gives up when it cannot be started again", async () => {
    const world = new World();
    const supervisor = new Supervisor(world);
    await supervisor.launch(plan);
    world.ready = () => Promise.reject(new Error("never again"));
    world.processes[0]?.end({ code: 1, signal: null });
    await expect(supervisor.givenUp).rejects.toThrow("got 5");
    expect(world.processes).toHaveLength(MAX_CRASHES);
    await supervisor.stop();
  });

  it("forgives a component that ran for long", async () => {
    const world = new World();
    const supervisor = new Supervisor(world);
    await supervisor.launch(plan);
    world.processes.at(-1)?.end({ code: 1, signal: null });
    await world.told(READY, 2);
    // The restarted process is taken over before its end is looked at: let that turn pass.
    await new Promise(setImmediate);
    world.time += HEALTHY_AFTER_MS;
    world.processes.at(-1)?.end({ code: null, signal: "SIGSEGV" });
    await world.told(READY, 3);
    expect(world.delays).toEqual([FIRST_BACKOFF_MS, FIRST_BACKOFF_MS]);
    expect(world.lines.join("")).toContain("signal SIGSEGV");
    await supervisor.stop();
  });

  it("keeps trying when a restart fails", async () => {
    const world = new World();
    const supervisor = new Supervisor(world);
    await supervisor.launch(plan);
    world.ready = (attempt) => (attempt === 2 ? Promise.reject(new Error("not yet")) : Promise.resolve());
    world.processes[0]?.end({ code: 1, signal: null });
    await world.told(READY, 2);
    expect(world.processes[1]?.kills).toEqual(["SIGKILL"]);
    expect(world.lines.join("")).toContain("guest component did not start");
    await supervisor.stop();
  });

  it("says which binary is missing and starts nothing", async () => {
    const world = new World();
    await new Supervisor(world).launch({ start: [], missing: ["/bin/hub"] });
    expect(world.processes).toEqual([]);
    expect(world.lines.join("")).toContain("/bin/hub");
  });
});
