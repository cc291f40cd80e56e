import { finished } from "node:stream/promises";

import type { PodContainer } from "@nacre/genpolicy";

import type { Agent } from "../agent.ts";
import { attach } from "../attach.ts";
import type { ContainerRecord } from "../container-store.ts";
import { type Context, note } from "../context.ts";
import { NacreError } from "../error.ts";
import type { Pod, ProcessIds } from "../pod.ts";
import { Capture } from "../session.ts";
import { screenOf } from "../terminal.ts";
import type { PodRunner } from "./pod-runner.ts";
import { Prefixed } from "./prefixed.ts";

const SIGTERM = 15;

/** What became of a container. */
export interface ContainerResult {
  readonly name: string;
  readonly status: number;
  /** Where JSON was asked for. */
  readonly stdout?: string;
  readonly stderr?: string;
}

interface Started {
  readonly container: PodContainer;
  readonly record: ContainerRecord;
  readonly ids: ProcessIds;
}

/**
 * Runs the containers of a pod as the kubelet does that never restarts one: init containers one after the other, each to
 * its end, then all others at once.
 */
export class PodRun {
  readonly #context: Context;
  readonly #runner: PodRunner;
  readonly #pod: Pod;
  readonly #agent: Agent;
  readonly #containers: readonly PodContainer[];
  readonly #interactive: boolean;

  constructor(
    context: Context,
    runner: PodRunner,
    { pod, agent }: { pod: Pod; agent: Agent },
    { containers, interactive }: { readonly containers: readonly PodContainer[]; readonly interactive: boolean },
  ) {
    this.#context = context;
    this.#runner = runner;
    this.#pod = pod;
    this.#agent = agent;
    this.#containers = containers;
    this.#interactive = interactive;
  }

  /** Runs the init containers; those that stay go on. Throws NacreError `guest` for one that fails. */
  async init(): Promise<readonly ContainerResult[]> {
    const results: ContainerResult[] = [];
    for (const container of this.#containers.filter(({ init }) => init)) {
      const started = await this.#start(container);
      if (container.restarts) {
        // It ends with the pod, and so does its output.
        this.#attach(started).catch(() => undefined);
        continue;
      }
      const [result] = await this.wait([started]);
      await this.#pod.remove(started.record);
      if (result === undefined) continue;
      results.push(result);
      const { status } = result;
      if (status !== 0) throw new NacreError("guest", `init container ${container.name} ended with ${status}`);
    }
    return results;
  }

  /** Starts all others. */
  async start(): Promise<readonly Started[]> {
    const started: Started[] = [];
    for (const container of this.#containers.filter(({ init }) => !init)) started.push(await this.#start(container));
    return started;
  }

  /** Passes on what they write, until all have ended. */
  async wait(started: readonly Started[]): Promise<readonly ContainerResult[]> {
    let interrupted = false;
    using _signals = this.#context.interrupts.forwardTo((name) => {
      if (!interrupted) note(this.#context, `${name}: the containers are asked to end; once more kills them`);
      for (const { container, ids } of started) {
        void this.#pod.signal(ids, interrupted ? "SIGKILL" : (container.stopSignal ?? SIGTERM));
      }
      interrupted = true;
    });
    return await Promise.all(started.map((one) => this.#attach(one)));
  }

  async #start(container: PodContainer): Promise<Started> {
    return { container, ...(await this.#runner.start(container)) };
  }

  async #attach({ container, ids }: Started): Promise<ContainerResult> {
    const { name, tty, stdin } = container;
    const captured = this.#context.json ? { stdout: new Capture(), stderr: new Capture() } : undefined;
    const named = this.#containers.length > 1;
    const outputs = captured ?? {
      stdout: named ? new Prefixed(`${name} | `, this.#context.stdout) : this.#context.stdout,
      stderr: named ? new Prefixed(`${name} | `, this.#context.stderr) : this.#context.stderr,
    };
    const input = this.#interactive && stdin ? this.#context.stdin : undefined;
    const screen = tty ? screenOf(this.#context) : undefined;
    const status = await attach(this.#agent, ids, { stdin: input, ...outputs }, screen);
    if (captured === undefined && named) {
      for (const output of [outputs.stdout, outputs.stderr]) {
        output.end();
        await finished(output);
      }
    }
    if (captured === undefined) return { name, status };
    return { name, status, stdout: captured.stdout.text(), stderr: captured.stderr.text() };
  }
}
