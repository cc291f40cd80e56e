import { describe, expect, it } from "vitest";

import type { Guest } from "../../src/guest/guest.ts";
import type { StartGuestOptions } from "../../src/guest/options.ts";
import type { BuildMessage, Built } from "../../src/watch/builder.ts";
import { watchLoop, type WatchEvent, type WatchPorts } from "../../src/watch/loop.ts";
import { textOf } from "../../src/watch/tell.ts";

const NETWORK = { gateway: "198.18.0.1", address: "198.18.0.2", prefixLength: 30 };
const built = (because: string, ...files: string[]): Built => ({
  because: because === "" ? [] : [because],
  files,
  folder: "/build",
  milliseconds: 7.4,
});

/** A world that plays messages one after another; what the loop does in between is noted. */
class World implements WatchPorts {
  readonly notes: string[] = [];
  readonly starts: StartGuestOptions[] = [];
  readonly restartHub: WatchPorts["restartHub"];
  readonly #script: (BuildMessage | "guest ends" | "interrupt")[];
  readonly #interrupt = new AbortController();
  #end: () => void = () => {};
  fail: Error | undefined;

  constructor(script: (BuildMessage | "guest ends" | "interrupt")[], withHub = true) {
    this.#script = script;
    this.restartHub = withHub ? (): Promise<void> => Promise.resolve(void this.notes.push("restart hub")) : undefined;
  }

  async run(options: StartGuestOptions = {}): Promise<readonly string[]> {
    await expect(watchLoop(options, this, this.#interrupt.signal)).rejects.toThrow("interrupted");
    return this.notes;
  }

  async next(signal: AbortSignal): Promise<BuildMessage> {
    const message = this.#script.shift();
    if (message === "guest ends") {
      this.#end();
      // Told once the loop has seen the end.
      await new Promise((turn) => setImmediate(turn));
      return await this.next(signal);
    }
    if (message !== undefined && message !== "interrupt") return message;
    this.#interrupt.abort(new Error("interrupted"));
    throw signal.reason;
  }

  start(options: StartGuestOptions): Promise<Guest> {
    this.starts.push(options);
    this.notes.push("start");
    if (this.fail !== undefined) return Promise.reject(this.fail);
    const ended = new Promise<void>((resolve) => (this.#end = resolve));
    const stop = (): Promise<void> => Promise.resolve(void this.notes.push("stop"));
    return Promise.resolve({
      id: "0a0b0c0d",
      network: NETWORK,
      debugUrl: "ws://127.0.0.1:1/x",
      ended,
      stop,
    } as unknown as Guest);
  }

  now = (): number => 0;

  tell = (event: WatchEvent): void => void this.notes.push(textOf(event));
}

describe("watchLoop", () => {
  it("starts the guest when it is built, and again under the same id and addresses, and stops it in the end", async () => {
    const world = new World([built("", "nvrc.mjs"), built("a.ts", "kata-agent.mjs")]);
    expect(await world.run({ memoryBytes: 1 })).toEqual([
      "start",
      "guest 0a0b0c0d is up after 0 ms; its sources are watched, Ctrl-C ends it",
      "stop",
      "start",
      "a.ts: kata-agent built in 7 ms; guest 0a0b0c0d is up again after 0 ms",
      "stop",
    ]);
    expect(world.starts).toEqual([
      { memoryBytes: 1 },
      { memoryBytes: 1, id: "0a0b0c0d", network: NETWORK, debugUrl: "ws://127.0.0.1:1/x" },
    ]);
  });

  it("starts the hub alone where nothing else has changed, and where that can be done", async () => {
    const hub = built("b.ts", "confidential-data-hub.mjs", "unpack-worker.mjs");
    expect(await new World([built("", "nvrc.mjs"), hub]).run()).toContain("restart hub");
    expect(await new World([built("", "nvrc.mjs"), hub], false).run()).toEqual(
      expect.arrayContaining([
        "b.ts: confidential-data-hub, unpack-worker built in 7 ms; guest 0a0b0c0d is up again after 0 ms",
      ]),
    );
    const both = built("c.ts", "confidential-data-hub.mjs", "kata-agent.mjs");
    expect(await new World([built("", "nvrc.mjs"), both]).run()).not.toContain("restart hub");
  });

  it("leaves the guest alone when the sources do not build, whether there is one or not", async () => {
    const broken = { because: ["a.ts", "b.ts", "c.ts", "d.ts"], failed: "a.ts:1: no" };
    expect(await new World([broken, built("", "nvrc.mjs"), broken]).run()).toEqual([
      "a.ts, b.ts, c.ts and 1 more cannot be built\na.ts:1: no",
      "start",
      "guest 0a0b0c0d is up after 0 ms; its sources are watched, Ctrl-C ends it",
      "a.ts, b.ts, c.ts and 1 more cannot be built; guest 0a0b0c0d stays as it is\na.ts:1: no",
      "stop",
    ]);
  });

  it("tells a guest's end once and starts it with the next change, which is not lost", async () => {
    const script = [built("", "nvrc.mjs"), "guest ends", built("a.ts", "kata-agent.mjs")] as const;
    expect((await new World([...script]).run()).slice(2)).toEqual([
      "guest 0a0b0c0d has ended; the next change starts it again",
      "start",
      "guest 0a0b0c0d is up after 0 ms; its sources are watched, Ctrl-C ends it",
      "stop",
    ]);
  });

  it("goes on after a guest that does not start", async () => {
    const world = new World([built("", "nvrc.mjs"), built("a.ts", "nvrc.mjs")]);
    world.fail = new Error("init ended");
    expect(await world.run()).toEqual([
      "start",
      "the sources: nvrc built in 7 ms; the guest does not start: init ended",
      "start",
      "a.ts: nvrc built in 7 ms; the guest does not start: init ended",
    ]);
  });
});
