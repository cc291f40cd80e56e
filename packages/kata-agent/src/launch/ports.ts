import { spawn } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

import type { Tracer } from "@nacre/protocols";

import { internalError } from "../error.ts";
import type { Logger } from "../log.ts";
import type { Component } from "./component.ts";
import type { ComponentExit, ComponentProcess, LaunchPorts } from "./supervise.ts";
import { waitForSocket } from "./wait-socket.ts";

/** The real world for the supervisor. */
export function systemLaunchPorts(log: Logger, tracer: Tracer): LaunchPorts {
  return {
    spawn: spawnComponent,
    removeSocket: (path) => rm(path, { force: true }),
    waitForSocket,
    delay: async (ms, signal) => {
      await delay(ms, undefined, { signal });
    },
    now: () => performance.now(),
    log,
    tracer,
  };
}

async function spawnComponent(component: Component): Promise<ComponentProcess> {
  const child = spawn(component.path, component.args, {
    env: { ...component.env },
    cwd: "/",
    // Its log joins ours; its input is nobody's.
    stdio: ["ignore", "inherit", "inherit"],
  });
  const exited = new Promise<ComponentExit>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  try {
    await once(child, "spawn");
  } catch (cause) {
    throw internalError(`${component.id}: cannot run ${component.path}`, cause);
  }
  return {
    pid: child.pid ?? 0,
    exited,
    kill: (signal) => {
      child.kill(signal);
    },
  };
}
