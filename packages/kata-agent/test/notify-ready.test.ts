import type { SocketCalls } from "@nacre/kata-sys-util";
import { recordingSyscalls } from "@nacre/kata-sys-util";
import { expect, it } from "vitest";

import { createLogger } from "../src/log.ts";
import { notifyReady } from "../src/notify-ready.ts";

function run(env: Record<string, string>, pid: number, sys: SocketCalls = recordingSyscalls()): string[] {
  const lines: string[] = [];
  const log = createLogger({ level: "info", version: "0", pid: 1, write: (line) => lines.push(line) });
  notifyReady(sys, log, env, pid);
  return lines;
}

it.each([
  ["nobody asked", {}, 7],
  ["the name is empty", { NOTIFY_SOCKET: "" }, 7],
  ["this is the first process", { NOTIFY_SOCKET: "/run/notify" }, 1],
])("tells nobody where %s", (_, env, pid) => {
  const sys = recordingSyscalls();
  expect(run(env, pid, sys)).toEqual([]);
  expect(sys.calls).toEqual([]);
});

it("goes on where whoever asked is not there", () => {
  expect(run({ NOTIFY_SOCKET: "/nowhere/notify" }, 7).join("")).toContain("was not told that it is ready");
});
