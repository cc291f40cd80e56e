import type { Tracer } from "@nacre/protocols";

import { describeError, internalError } from "../error.ts";
import type { Logger } from "../log.ts";
import type { Component } from "./component.ts";
import type { LaunchPlan } from "./plan.ts";

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

/** How a component is, and what became of it since the agent started. */
export interface ComponentState {
  ready: boolean;
  restarts: number;
  /** Ends with a status other than 0, or by a signal, and starts that failed. */
  crashes: number;
}

/** First pause before a restart; each failure that follows doubles it. */
export const FIRST_BACKOFF_MS = 100;

/** Longest pause before a restart, so that a component that comes back to life is not missed for long. */
export const MAX_BACKOFF_MS = 10_000;

/** A process that ran this long was healthy: the pause starts from the first one again. */
export const HEALTHY_AFTER_MS = 60_000;

/** So many crashes of one component within {@link CRASH_WINDOW_MS} end the guest: nothing that it says can be relied on. */
export const MAX_CRASHES = 5;
export const CRASH_WINDOW_MS = 60_000;

/** For a component to end by itself when the agent stops; one that hangs would keep the guest. */
export const STOP_GRACE_MS = 5000;

/** The components of a plan, kept running until `stop`. */
export class Supervisor {
  readonly #ports: LaunchPorts;
  readonly #stopping = new AbortController();
  readonly #running = new Map<string, ComponentProcess>();
  readonly #loops: Promise<void>[] = [];
  readonly #states = new Map<string, ComponentState>();
  readonly #given = Promise.withResolvers<never>();

  constructor(ports: LaunchPorts) {
    this.#ports = ports;
    // Nobody may be waiting for it.
    this.#given.promise.catch(() => undefined);
  }

  /** Rejects with INTERNAL when a component crashes again and again. */
  get givenUp(): Promise<never> {
    return this.#given.promise;
  }

  /** Of every component that was started, by its id. */
  get states(): ReadonlyMap<string, Readonly<ComponentState>> {
    return this.#states;
  }

  /**
   * Starts the components together and waits for their sockets: none needs another to start. Those without a socket
   * follow, so that nobody waits longer for their sake. Rejects with INTERNAL when one ends or is not ready in time, with
   * the others ended: an agent without its components must not open its port.
   *
   * @param running called once, when the processes of those that are waited for run.
   */
  async launch(plan: LaunchPlan, running: () => void = () => undefined): Promise<void> {
    if (plan.missing.length > 0) {
      this.#ports.log.warning("guest components are not started: a needed binary is missing", {
        missing: plan.missing,
      });
    }
    const awaited = plan.start.filter(({ socket }) => socket !== undefined);
    const others = plan.start.filter(({ socket }) => socket === undefined);
    let spawned = 0;
    const start = async (component: Component): Promise<void> => {
      this.#states.set(component.id, { ready: false, restarts: 0, crashes: 0 });
      const process = await this.#startOnce(component, () => {
        spawned += 1;
        if (spawned === awaited.length) running();
      });
      this.#loops.push(this.#keepRunning(component, process));
    };
    const starts: Promise<void>[] = [];
    try {
      for (const components of [awaited, others]) {
        const these = components.map(start);
        starts.push(...these);
        await Promise.all(these);
      }
    } catch (error) {
      this.#stopping.abort(new Error("another component did not start"));
      await Promise.allSettled(starts);
      await this.stop();
      throw error;
    }
  }

  /** Ends every component, by force where it does not end in {@link STOP_GRACE_MS}, and waits until they are gone. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error("the agent stops"));
    for (const process of this.#running.values()) process.kill("SIGTERM");
    const gone = new AbortController();
    this.#ports.delay(STOP_GRACE_MS, gone.signal).then(
      () => {
        for (const process of this.#running.values()) process.kill("SIGKILL");
      },
      // All were gone before.
      () => undefined,
    );
    await Promise.all(this.#loops);
    gone.abort();
  }

  async #startOnce(component: Component, spawned?: () => void): Promise<ComponentProcess> {
    const { id, socket } = component;
    if (socket !== undefined) await this.#ports.removeSocket(socket);
    const launched = this.#ports.tracer.begin("launch", id);
    const process = await this.#ports.spawn(component);
    this.#running.set(id, process);
    // `stop` kills what it finds running, and may have looked before this process was there.
    if (this.#stopping.signal.aborted) process.kill("SIGTERM");
    spawned?.();
    if (socket !== undefined) await this.#ready({ ...component, socket }, process);
    launched();
    this.#change(id, (state) => (state.ready = true));
    this.#ports.log.info("guest component is ready", { component: id, component_pid: process.pid });
    return process;
  }

  /** Ends the process when it is not ready in time. */
  async #ready(component: Component & { readonly socket: string }, process: ComponentProcess): Promise<void> {
    const { id, socket, timeoutMs } = component;
    const waiting = new AbortController();
    const timeout = AbortSignal.timeout(timeoutMs);
    const ready = this.#ports.waitForSocket(socket, AbortSignal.any([waiting.signal, timeout, this.#stopping.signal]));
    try {
      await Promise.race([
        ready,
        process.exited.then((exit) => {
          throw internalError(`${id} ended before it was ready: ${describeExit(exit)}`);
        }),
      ]);
    } catch (error) {
      process.kill("SIGKILL");
      this.#running.delete(id);
      if (timeout.aborted) throw internalError(`${id}: no socket ${socket} after ${timeoutMs} ms`);
      throw error;
    } finally {
      waiting.abort();
      // The race may have been decided by the exit; the waiting then rejects on its own.
      ready.catch(() => undefined);
    }
  }

  /** The restart policy: driven by the exit of the process, with a pause that grows and is bounded. */
  async #keepRunning(component: Component, first: ComponentProcess): Promise<void> {
    const { id } = component;
    const signal = this.#stopping.signal;
    const crashes: number[] = [];
    let process: ComponentProcess | undefined = first;
    let backoff = FIRST_BACKOFF_MS;
    for (;;) {
      if (process !== undefined) {
        const started = this.#ports.now();
        const exit = await process.exited;
        this.#running.delete(id);
        this.#change(id, (state) => (state.ready = false));
        if (signal.aborted) return;
        if (this.#ports.now() - started >= HEALTHY_AFTER_MS) backoff = FIRST_BACKOFF_MS;
        this.#ports.log.error("guest component ended, it is started again", {
          component: id,
          exit: describeExit(exit),
          backoff_ms: backoff,
        });
        if (exit.code !== 0 && this.#crashed(id, crashes)) return;
      }
      try {
        await this.#ports.delay(backoff, signal);
        backoff = Math.min(backoff * 2, MAX_BACKOFF_MS);
        this.#change(id, (state) => (state.restarts += 1));
        process = await this.#startOnce(component);
      } catch (error) {
        if (signal.aborted) return;
        process = undefined;
        this.#ports.log.error("guest component did not start", { component: id, error: describeError(error) });
        if (this.#crashed(id, crashes)) return;
      }
    }
  }

  /** Counts a crash; true when they are too many. */
  #crashed(id: string, crashes: number[]): boolean {
    const now = this.#ports.now();
    crashes.push(now);
    while ((crashes[0] ?? now) <= now - CRASH_WINDOW_MS) crashes.shift();
    this.#change(id, (state) => (state.crashes += 1));
    if (crashes.length < MAX_CRASHES) return false;
    const text = `${id}: expected fewer than ${MAX_CRASHES} crashes within ${CRASH_WINDOW_MS / 1000} s, got ${crashes.length}`;
    this.#given.reject(internalError(text));
    return true;
  }

  #change(id: string, change: (state: ComponentState) => void): void {
    const state = this.#states.get(id);
    if (state !== undefined) change(state);
  }
}

function describeExit(exit: ComponentExit): string {
  return exit.signal === null ? `exit status ${String(exit.code)}` : `signal ${exit.signal}`;
}
