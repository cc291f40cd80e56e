import type { Tracer } from "@nacre/protocols";

import { describeError, internalError } from "../error.ts";
import type { Logger } from "../log.ts";
import type { Component, LaunchPlan } from "./plan.ts";

/** How a component's process ended. */
export interface ComponentExit {
  readonly code: number | null;
  readonly signal: string | null;
}

/** A running component. */
export interface ComponentProcess {
  readonly pid: number;
  readonly exited: Promise<ComponentExit>;
  kill(signal: "SIGTERM" | "SIGKILL"): void;
}

/** What launching needs of the world. */
export interface LaunchPorts {
  /** Starts the program; rejects when it cannot be executed. */
  spawn(component: Component): Promise<ComponentProcess>;
  /** Removes what a former process left at the socket's path; absent is fine. */
  removeSocket(path: string): Promise<void>;
  waitForSocket(path: string, signal: AbortSignal): Promise<void>;
  /** Rejects when the signal aborts. */
  delay(ms: number, signal: AbortSignal): Promise<void>;
  now(): number;
  log: Logger;
  tracer: Pick<Tracer, "begin">;
}

/** First pause before a restart; each failure that follows doubles it. */
export const FIRST_BACKOFF_MS = 100;

/** Longest pause before a restart, so that a component that comes back to life is not missed for long. */
export const MAX_BACKOFF_MS = 10_000;

/** A process that ran this long was healthy: the pause starts from the first one again. */
export const HEALTHY_AFTER_MS = 60_000;

/** The components of a plan, kept running until `stop`. */
export class Supervisor {
  readonly #ports: LaunchPorts;
  readonly #stopping = new AbortController();
  readonly #running = new Map<string, ComponentProcess>();
  readonly #loops: Promise<void>[] = [];

  constructor(ports: LaunchPorts) {
    this.#ports = ports;
  }

  /**
   * Starts the components one after another and waits for each one's socket. Rejects with INTERNAL when one ends or is
   * not ready in time: an agent without its components must not open its port.
   */
  async launch(plan: LaunchPlan): Promise<void> {
    if (plan.missing.length > 0) {
      this.#ports.log.warning("guest components are not started: a needed binary is missing", {
        missing: plan.missing,
      });
    }
    for (const component of plan.start) {
      const process = await this.#startOnce(component);
      this.#loops.push(this.#keepRunning(component, process));
    }
  }

  /** Ends every component and waits until they are gone. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the agent stops"));
    for (const process of this.#running.values()) process.kill("SIGTERM");
    await Promise.all(this.#loops);
  }

  async #startOnce(component: Component): Promise<ComponentProcess> {
    await this.#ports.removeSocket(component.socket);
    const launched = this.#ports.tracer.begin("launch", component.id);
    const process = await this.#ports.spawn(component);
    this.#running.set(component.id, process);
    // `stop` kills what it finds running, and may have looked before this process was there.
    if (this.#stopping.signal.aborted) process.kill("SIGTERM");
    const waiting = new AbortController();
    const timeout = AbortSignal.timeout(component.timeoutMs);
    const ready = this.#ports.waitForSocket(
      component.socket,
      AbortSignal.any([waiting.signal, timeout, this.#stopping.signal]),
    );
    try {
      await Promise.race([
        ready,
        process.exited.then((exit) => {
          throw internalError(`${component.id} ended before it was ready: ${describeExit(exit)}`);
        }),
      ]);
    } catch (error) {
      process.kill("SIGKILL");
      this.#running.delete(component.id);
      if (timeout.aborted) {
        throw internalError(`${component.id}: no socket ${component.socket} after ${component.timeoutMs} ms`);
      }
      throw error;
    } finally {
      waiting.abort();
      // The race may have been decided by the exit; the waiting then rejects on its own.
      ready.catch(() => undefined);
    }
    launched();
    this.#ports.log.info("guest component is ready", { component: component.id, component_pid: process.pid });
    return process;
  }

  /** The restart policy: driven by the exit of the process, with a pause that grows and is bounded. */
  async #keepRunning(component: Component, first: ComponentProcess): Promise<void> {
    const signal = this.#stopping.signal;
    let process: ComponentProcess | undefined = first;
    let backoff = FIRST_BACKOFF_MS;
    for (;;) {
      if (process !== undefined) {
        const started = this.#ports.now();
        const exit = await process.exited;
        this.#running.delete(component.id);
        if (signal.aborted) return;
        if (this.#ports.now() - started >= HEALTHY_AFTER_MS) backoff = FIRST_BACKOFF_MS;
        this.#ports.log.error("guest component ended, it is started again", {
          component: component.id,
          exit: describeExit(exit),
          backoff_ms: backoff,
        });
      }
      try {
        await this.#ports.delay(backoff, signal);
        backoff = Math.min(backoff * 2, MAX_BACKOFF_MS);
        process = await this.#startOnce(component);
      } catch (error) {
        if (signal.aborted) return;
        process = undefined;
        this.#ports.log.error("guest component did not start", {
          component: component.id,
          error: describeError(error),
        });
      }
    }
  }
}

function describeExit(exit: ComponentExit): string {
  return exit.signal === null ? `exit status ${String(exit.code)}` : `signal ${exit.signal}`;
}
