import { constants } from "node:os";

/** Signals by which a user or a machine asks a command to end. */
export const INTERRUPTS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
export type Interrupt = (typeof INTERRUPTS)[number];

/** Where the signals come from: the process, or a test's emitter. */
export interface SignalSource {
  on(signal: Interrupt, listener: () => void): unknown;
  off(signal: Interrupt, listener: () => void): unknown;
}

/**
 * What a signal means: by default that the command is to give up, which `signal` says to whatever waits; while a
 * process is attached, the signal goes to that.
 */
export class Interrupts {
  readonly #controller = new AbortController();
  readonly #source: SignalSource;
  readonly #listeners: ReadonlyMap<Interrupt, () => void>;
  #forward: ((signal: Interrupt) => void) | undefined;

  constructor(source: SignalSource) {
    this.#source = source;
    this.#listeners = new Map(INTERRUPTS.map((signal) => [signal, () => this.#deliver(signal)]));
    for (const [signal, listener] of this.#listeners) source.on(signal, listener);
  }

  /** Aborts when the command is to give up; its reason is an {@link Interrupted}. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Sends signals elsewhere until the returned object is disposed of. */
  forwardTo(target: (signal: Interrupt) => void): Disposable {
    this.#forward = target;
    return { [Symbol.dispose]: () => (this.#forward = undefined) };
  }

  /** Leaves the signals to their default action. */
  close(): void {
    for (const [signal, listener] of this.#listeners) this.#source.off(signal, listener);
  }

  #deliver(signal: Interrupt): void {
    if (this.#forward !== undefined) this.#forward(signal);
    else this.#controller.abort(new Interrupted(signal));
  }
}

/** The reason of an abort by a signal. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  /** What a shell shows for a process that the signal ended. */
  readonly exitStatus: number;

  constructor(signal: Interrupt) {
    super(`ended by ${signal}`);
    this.exitStatus = 128 + constants.signals[signal];
  }
}
