import type { Guest } from "../guest/guest.ts";
import type { StartGuestOptions } from "../guest/options.ts";
import { describeError } from "../error.ts";
import type { BuildMessage, Built } from "./builder.ts";
import { HUB_FILES } from "./restart-hub.ts";

/** What the loop works with; fakes in tests. */
export interface WatchPorts {
  /** The next build. Rejects with the signal's reason. */
  next(signal: AbortSignal): Promise<BuildMessage>;
  /** Starts a guest of that build. */
  start(options: StartGuestOptions, build: Built): Promise<Guest>;
  /** Starts the data hub anew inside a guest; undefined where its files cannot be put there. */
  readonly restartHub: ((guest: Guest, signal: AbortSignal) => Promise<void>) | undefined;
  now(): number;
  tell(event: WatchEvent): void;
}

/** What happens, for people and programs. */
export type WatchEvent =
  | {
      readonly event: "started";
      readonly guest: Guest;
      readonly milliseconds: number;
      readonly build: Built;
      readonly again: boolean;
    }
  | { readonly event: "daemon"; readonly guest: Guest; readonly milliseconds: number; readonly build: Built }
  | {
      readonly event: "broken";
      readonly because: readonly string[];
      readonly message: string;
      readonly guest: Guest | undefined;
    }
  | { readonly event: "not-started"; readonly message: string; readonly build: Built }
  | { readonly event: "ended"; readonly guest: Guest };

/**
 * Keeps a guest of the newest sources that build: after each change its daemon is started again where that suffices, else
 * the guest, under the same id and addresses. Goes on until the signal; the guest is stopped then.
 */
export async function watchLoop(options: StartGuestOptions, ports: WatchPorts, signal: AbortSignal): Promise<never> {
  let guest: Guest | undefined;
  let again: StartGuestOptions = {};
  // Kept while the guest's end is told first.
  let next: Promise<BuildMessage> | undefined;
  try {
    for (;;) {
      next ??= ports.next(signal);
      const message = await (guest === undefined ? next : Promise.race([next, guest.ended.then(() => undefined)]));
      if (message !== undefined) next = undefined;
      if (message === undefined) {
        if (guest !== undefined) ports.tell({ event: "ended", guest });
        guest = undefined;
      } else if ("failed" in message) {
        ports.tell({ event: "broken", because: message.because, message: message.failed, guest });
      } else if (guest !== undefined && ports.restartHub !== undefined && concernsHubOnly(message)) {
        const began = ports.now();
        await ports.restartHub(guest, signal);
        ports.tell({ event: "daemon", guest, milliseconds: ports.now() - began, build: message });
      } else {
        await guest?.stop();
        const began = ports.now();
        const wasThere = guest !== undefined;
        guest = undefined;
        try {
          guest = await ports.start({ ...options, ...again }, message);
        } catch (error) {
          signal.throwIfAborted();
          ports.tell({ event: "not-started", message: describeError(error), build: message });
          continue;
        }
        again = sameAddresses(guest);
        ports.tell({ event: "started", guest, milliseconds: ports.now() - began, build: message, again: wasThere });
      }
    }
  } finally {
    await guest?.stop();
  }
}

function concernsHubOnly({ files }: Built): boolean {
  return files.every((file) => HUB_FILES.includes(file));
}

function sameAddresses({ id, network, debugUrl }: Guest): StartGuestOptions {
  return { id, network, ...(debugUrl === undefined ? {} : { debugUrl }) };
}
