import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { identityOf, isAlive, parseIdentity } from "../../src/guest/identity.ts";
import { killProcess, processEnd, sendSignal } from "../../src/guest/process-end.ts";

describe("a process's identity", () => {
  it("holds while it runs and no longer", async () => {
    const child = spawn("/bin/sleep", ["1000"], { stdio: "ignore" });
    await once(child, "spawn");
    const identity = identityOf(child.pid ?? 0);
    expect(isAlive(identity)).toBe(true);
    const exited = once(child, "exit");
    await killProcess(identity);
    await exited;
    expect(isAlive(identity)).toBe(false);
    // Nothing to wait for, nothing to signal, no error.
    if (identity !== undefined) {
      await processEnd(identity);
      expect(sendSignal(identity, "SIGTERM")).toBe(false);
    }
  });

  it("does not count as running once it is a zombie", async () => {
    // Killed while its parent sleeps: nobody collects it before the parent ends.
    const script = "sleep 1000 & echo $!; exec sleep 1000";
    const parent = spawn("/bin/sh", ["-c", script], { stdio: ["ignore", "pipe", "ignore"] });
    const exited = once(parent, "exit");
    const [line] = (await once(parent.stdout, "data")) as [Buffer];
    const identity = identityOf(Number(line.toString()));
    expect(isAlive(identity)).toBe(true);
    // Until it has become `sleep` the shell might still collect its child.
    const name = (): string => readFileSync(`/proc/${parent.pid}/comm`, "latin1").trim();
    while (name() !== "sleep") await new Promise((resolve) => setImmediate(resolve));
    await killProcess(identity);
    expect(identityOf(identity?.pid ?? 0)).toEqual(identity);
    expect(isAlive(identity)).toBe(false);
    parent.kill("SIGKILL");
    await exited;
  });

  it("is not another process with its number", async () => {
    const mine = identityOf(process.pid);
    expect(mine).toBeDefined();
    if (mine === undefined) return;
    const earlier = { ...mine, startTime: "1" };
    expect(isAlive(earlier)).toBe(false);
    // Were the number alone looked at, this would end the test.
    await killProcess(earlier);
    await killProcess({ ...mine, bootId: "another boot" });
    expect(isAlive(mine)).toBe(true);
  });

  it("stops waiting when asked to", async () => {
    const mine = identityOf(process.pid);
    if (mine === undefined) throw new Error("expected to run");
    const abort = new AbortController();
    const waiting = processEnd(mine, abort.signal);
    abort.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
  });

  it.for([
    ["nothing", undefined],
    ["a number", 3],
    ["the first process", { pid: 1, startTime: "1", bootId: "b" }],
    ["a negative number", { pid: -1, startTime: "1", bootId: "b" }],
    ["a fraction", { pid: 2.5, startTime: "1", bootId: "b" }],
    ["no start", { pid: 5, bootId: "b" }],
    ["no boot", { pid: 5, startTime: "1" }],
  ] as const)("is not read from %s", ([, value]) => {
    expect(parseIdentity(value)).toBeUndefined();
  });
});
