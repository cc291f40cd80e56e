import { randomUUID } from "node:crypto";

import type { Tee } from "@nacre/kbs-protocol";

import { FieldReader } from "../fields.ts";
import { parseJsonBytes } from "../json.ts";
import { Namespace, type Storage } from "../storage/storage.ts";

/** Where a handshake stands (spec trustee 1.2). */
export interface Session {
  readonly id: string;
  readonly tee: Tee;
  readonly nonce: string;
  /** Unix milliseconds; fixed when the session begins. */
  readonly expires: number;
  /** The token, once the guest has attested. */
  readonly token?: string;
}

const ID = /^[0-9a-f]{32}$/u;
const MAX_TIMER_MS: number = 2 ** 31 - 1;

/**
 * Sessions in storage, so that any replica may go on with one. Each ends at its time and leaves nothing behind: a timer
 * waits for the next that does, and one that is found too late is deleted then. Once in the time that a session lives,
 * storage is looked through for those of replicas that may be gone, so that each of them is seen before its end.
 */
export class Sessions {
  readonly #storage: Storage;
  readonly #lifetimeMs: number;
  readonly #now: () => number;
  readonly #onError: (error: unknown) => void;
  /** In the order in which they end. */
  #ending: { readonly id: string; readonly expires: number }[] = [];
  readonly #known = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #survey: NodeJS.Timeout | undefined;
  #sweeping = false;
  #closed = false;

  private constructor(storage: Storage, lifetimeMs: number, now: () => number, onError: (error: unknown) => void) {
    this.#storage = storage;
    this.#lifetimeMs = lifetimeMs;
    this.#now = now;
    this.#onError = onError;
  }

  /** Takes over what an earlier process, or another replica, left. */
  static async open(
    storage: Storage,
    lifetimeMs: number,
    now: () => number,
    onError: (error: unknown) => void,
  ): Promise<Sessions> {
    const sessions = new Sessions(storage, lifetimeMs, now, onError);
    await sessions.#takeOver();
    sessions.#surveyLater();
    return sessions;
  }

  async begin(tee: Tee, nonce: string): Promise<Session> {
    const session = { id: randomUUID().replaceAll("-", ""), tee, nonce, expires: this.#now() + this.#lifetimeMs };
    await this.#write(session);
    this.#known.add(session.id);
    this.#ending.push(session);
    this.#arm();
    return session;
  }

  /** The session of this number, if it has not ended. */
  async find(id: string): Promise<Session | undefined> {
    if (!ID.test(id)) return undefined;
    const bytes = await this.#storage.get(Namespace.SESSION, id);
    if (bytes === undefined) return undefined;
    const session = read(id, bytes);
    if (session !== undefined && session.expires > this.#now()) return session;
    await this.#storage.delete(Namespace.SESSION, id);
    return undefined;
  }

  async attested(session: Session, token: string): Promise<void> {
    // It may have ended while evidence was verified; what is written then would stay.
    if (session.expires <= this.#now()) return;
    await this.#write({ ...session, token });
    // Or while that was written: the end may have come before it.
    if (session.expires <= this.#now()) await this.#storage.delete(Namespace.SESSION, session.id);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#survey);
  }

  #write({ id, tee, nonce, expires, token }: Session): Promise<void> {
    const timeout = new Date(expires).toISOString();
    const state =
      token === undefined ? { Authed: { tee, nonce, timeout } } : { Attested: { tee, nonce, token, timeout } };
    return this.#storage.set(Namespace.SESSION, id, Buffer.from(JSON.stringify(state)));
  }

  /** Sessions of others become this replica's to end, too: whichever comes first does it. */
  async #takeOver(): Promise<void> {
    const others = (await this.#storage.list(Namespace.SESSION)).filter((id) => !this.#known.has(id));
    const found: Session[] = [];
    for (const id of others) {
      if (this.#closed) return;
      const session = await this.find(id);
      if (session !== undefined) found.push(session);
    }
    for (const { id } of found) this.#known.add(id);
    this.#ending = [...this.#ending, ...found].toSorted((a, b) => a.expires - b.expires);
    // The next to end may be another one now.
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#arm();
  }

  #surveyLater(): void {
    if (this.#closed) return;
    this.#survey = timer(this.#lifetimeMs, () => {
      const failed = (error: unknown): void => {
        if (!this.#closed) this.#onError(error);
      };
      void this.#takeOver()
        .catch(failed)
        .finally(() => this.#surveyLater());
    });
  }

  #arm(): void {
    const [next] = this.#ending;
    if (this.#closed || this.#sweeping || this.#timer !== undefined || next === undefined) return;
    this.#timer = timer(next.expires - this.#now() + 1, () => void this.#sweep());
  }

  async #sweep(): Promise<void> {
    this.#timer = undefined;
    this.#sweeping = true;
    for (;;) {
      const [next] = this.#ending;
      if (next === undefined || next.expires > this.#now()) break;
      this.#ending.shift();
      try {
        await this.#storage.delete(Namespace.SESSION, next.id);
        this.#known.delete(next.id);
      } catch (error) {
        this.#onError(error);
        // Storage that fails now is asked again after another lifetime.
        this.#ending.push({ id: next.id, expires: this.#now() + this.#lifetimeMs });
        break;
      }
    }
    this.#sweeping = false;
    this.#arm();
  }
}

/** Does not keep the process. A time that Node's timers cannot hold is cut: who is called too early looks again. */
function timer(ms: number, call: () => void): NodeJS.Timeout {
  return setTimeout(call, Math.min(Math.max(0, ms), MAX_TIMER_MS)).unref();
}

/** Undefined for what cannot be read: it is nobody's session. */
function read(id: string, bytes: Buffer): Session | undefined {
  try {
    const outer = new FieldReader(parseJsonBytes(bytes, "session", "storage"), "session", "storage");
    const attested = outer.get("Attested") !== undefined;
    const state = outer.object(attested ? "Attested" : "Authed");
    const expires = Date.parse(state.text("timeout"));
    if (Number.isNaN(expires)) return undefined;
    const session = { id, tee: state.text("tee") as Tee, nonce: state.text("nonce"), expires };
    return attested ? { ...session, token: state.text("token") } : session;
  } catch {
    return undefined;
  }
}
