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

/**
 * Sessions in storage, so that any replica may go on with one. Each ends at its time and leaves nothing behind: a timer
 * waits for the next that does, and one that is found too late is deleted then.
 */
export class Sessions {
  readonly #storage: Storage;
  readonly #lifetimeMs: number;
  readonly #now: () => number;
  readonly #onError: (error: unknown) => void;
  /** In the order in which they end: all live equally long. */
  readonly #ending: { readonly id: string; readonly expires: number }[] = [];
  #timer: NodeJS.Timeout | undefined;
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
    const left = await Promise.all((await storage.list(Namespace.SESSION)).map(async (id) => await sessions.find(id)));
    const alive = left.filter((session) => session !== undefined);
    sessions.#ending.push(...alive.toSorted((a, b) => a.expires - b.expires));
    sessions.#arm();
    return sessions;
  }

  async begin(tee: Tee, nonce: string): Promise<Session> {
    const session = { id: randomUUID().replaceAll("-", ""), tee, nonce, expires: this.#now() + this.#lifetimeMs };
    await this.#write(session);
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
  }

  #write({ id, tee, nonce, expires, token }: Session): Promise<void> {
    const timeout = new Date(expires).toISOString();
    const state =
      token === undefined ? { Authed: { tee, nonce, timeout } } : { Attested: { tee, nonce, token, timeout } };
    return this.#storage.set(Namespace.SESSION, id, Buffer.from(JSON.stringify(state)));
  }

  #arm(): void {
    const [next] = this.#ending;
    if (this.#closed || this.#timer !== undefined || next === undefined) return;
    this.#timer = setTimeout(() => void this.#sweep(), Math.max(0, next.expires - this.#now()) + 1);
    this.#timer.unref();
  }

  async #sweep(): Promise<void> {
    for (;;) {
      const [next] = this.#ending;
      if (next === undefined || next.expires > this.#now()) break;
      this.#ending.shift();
      try {
        await this.#storage.delete(Namespace.SESSION, next.id);
      } catch (error) {
        this.#onError(error);
        // Storage that fails now is asked again after another lifetime.
        this.#ending.push({ id: next.id, expires: this.#now() + this.#lifetimeMs });
        break;
      }
    }
    this.#timer = undefined;
    this.#arm();
  }
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
