import { describe, expect, it } from "vitest";

import { traced } from "../../src/service/traced.ts";

class FakeTracer {
  readonly events: string[] = [];
  readonly on: boolean;
  constructor(on: boolean) {
    this.on = on;
  }
  mark(step: string, detail = ""): void {
    this.events.push(`${step} ${detail}`);
  }
  async span<T>(step: string, detail: string, work: () => Promise<T>): Promise<T> {
    this.mark(step, detail);
    return await work();
  }
}

describe("traced", () => {
  it("is the same handlers where nobody wants events", () => {
    const handlers = { Check: () => ({}) };
    expect(traced(new FakeTracer(false), handlers)).toBe(handlers);
  });

  it("tells calls with their containers, the first Check, and each container's first output", async () => {
    const tracer = new FakeTracer(true);
    const seen: unknown[] = [];
    const data = { data: new Uint8Array(1) };
    const handlers = traced(tracer, {
      Check: (_request: object) => ({ status: 1 }),
      CreateContainer: (request: unknown, context: unknown) => {
        seen.push(request, context);
        return Promise.resolve({});
      },
      WaitProcess: (_request: object) => ({ status: 0 }),
      ReadStdout: ({ len }: { container_id: string; len: number }) =>
        Promise.resolve({ data: data.data.subarray(0, len) }),
    });
    handlers.Check({});
    handlers.Check({});
    const request = { container_id: "c1" };
    await handlers.CreateContainer(request, "context");
    expect(seen).toEqual([request, "context"]);
    expect(handlers.WaitProcess({})).toEqual({ status: 0 });
    for (const len of [0, 1, 1])
      expect(await handlers.ReadStdout({ container_id: "c1", len })).toEqual({ data: data.data.subarray(0, len) });
    await handlers.ReadStdout({ container_id: "c2", len: 1 });
    expect(tracer.events).toEqual(["call Check", "call CreateContainer c1", "output c1", "output c2"]);
  });

  it("passes a refusal on", async () => {
    const handlers = traced(new FakeTracer(true), {
      StartContainer: (_request: object) => Promise.reject(new Error("refused")),
      Stats: (_request: object): Promise<unknown> => {
        throw new Error("at once");
      },
      ReadStderr: (_request: object) => Promise.reject(new Error("no such container")),
    });
    await expect(handlers.StartContainer({})).rejects.toThrow("refused");
    await expect(handlers.Stats({})).rejects.toThrow("at once");
    await expect(handlers.ReadStderr({})).rejects.toThrow("no such container");
  });
});
