import type { Tracer } from "@nacre/protocols";

import type { GuestLayout } from "./layout.ts";
import type { GuestState } from "./state.ts";

/** What a supervisor gives to whatever starts its guest. */
export interface Supervision {
  /** Where guests of this machine keep their files. */
  readonly root: string;
  readonly layout: GuestLayout;
  readonly state: GuestState;
  /** The guest's log, open for appending. */
  readonly logFd: number;
  readonly tracer: Tracer;
  /** Aborts when the guest is to end, or was not ready in time. */
  readonly signal: AbortSignal;
  /** Writes down what is about to exist, so that it is found after a crash. */
  readonly record: (change: Partial<GuestState>) => void;
  /** A line for the guest's log and for whoever starts it. */
  readonly say: (note: string) => void;
}

/** A guest whose agent answers, in the process that looks after it. */
export interface SupervisedGuest {
  /** Resolves with how its first process ended; never rejects. */
  readonly ended: Promise<string>;
  /** Asks it to power off; resolves when it has been asked. Whoever waits for {@link ended} decides how long. */
  askToPowerOff(): Promise<void>;
  /** Closes what this process holds open for it. */
  close(): Promise<void>;
}

/** What the supervisor tells whoever started it: where the debugger is, what is odd; then whether the guest is up. */
export type SupervisorMessage =
  | { readonly debugUrl: string }
  | { readonly note: string }
  | { readonly ready: true }
  | { readonly failed: string };
