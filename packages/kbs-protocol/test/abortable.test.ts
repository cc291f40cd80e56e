import { expect, it } from "vitest";

import { abortable } from "../src/index.ts";

it("gives what is waited for, or its failure", async () => {
  const { signal } = new AbortController();
  expect(await abortable(Promise.resolve(1), signal)).toBe(1);
  expect(await abortable(Promise.resolve(2), undefined)).toBe(2);
  await expect(abortable(Promise.reject(new Error("failed")), signal)).rejects.toThrow("failed");
});

it("gives up with the signal's reason, before or while it waits", async () => {
  const { promise } = Promise.withResolvers<never>();
  await expect(abortable(promise, AbortSignal.abort(new Error("before")))).rejects.toThrow("before");
  const controller = new AbortController();
  const waiting = abortable(promise, controller.signal);
  controller.abort(new Error("while"));
  await expect(waiting).rejects.toThrow("while");
  await expect(abortable(Promise.resolve(1), AbortSignal.abort(new Error("both")))).rejects.toThrow("both");
});

it("lets nothing that fails behind its back end the process", async () => {
  const unhandled: unknown[] = [];
  const note = (error: unknown): void => void unhandled.push(error);
  process.on("unhandledRejection", note);
  try {
    const late = Promise.withResolvers<never>();
    await expect(abortable(late.promise, AbortSignal.abort(new Error("given up")))).rejects.toThrow("given up");
    late.reject(new Error("nobody waits"));
    // Node tells of rejections when the microtasks are through.
    await new Promise((resolve) => setImmediate(resolve));
    expect(unhandled).toEqual([]);
  } finally {
    process.off("unhandledRejection", note);
  }
});
