import { stringifyLossless } from "@nacre/protocols";

import { errorText, TrusteeError } from "../error.ts";
import { FieldReader } from "../fields.ts";
import { parseJsonBytes } from "../json.ts";
import { checkKey, Namespace, type Storage } from "../storage/storage.ts";
import { MESSAGE_VERSION, parseMessage } from "./message.ts";

const MONTHS_VALID = 12;

/** A value under its name, as it is kept. */
export interface ReferenceValue {
  readonly name: string;
  /** "YYYY-MM-DDTHH:MM:SSZ" */
  readonly expiration: string;
  readonly value: unknown;
}

/** What policies ask for by name (spec trustee 3): a value, or undefined where none is kept or it has run out. */
export interface ReferenceValueQuery {
  query(name: string): Promise<unknown>;
}

/** All that a broker does with them. */
export interface ReferenceValueStore extends ReferenceValueQuery {
  /** Takes a message's values in. */
  register(message: string): Promise<readonly string[]>;
  list(): Promise<readonly ReferenceValue[]>;
  delete(name: string): Promise<boolean>;
}

/**
 * Reference values: what evidence is compared with. A message replaces values of the same names. Unlike upstream's they
 * really run out after twelve months, and can be listed and deleted.
 */
export class ReferenceValues implements ReferenceValueStore {
  readonly #storage: Storage;
  readonly #now: () => number;

  constructor(storage: Storage, now: () => number) {
    this.#storage = storage;
    this.#now = now;
  }

  /** Takes a message's values in; resolves with their names. Rejects with `reference-value`, `request` or `storage`. */
  async register(message: string): Promise<readonly string[]> {
    const values = Object.entries(parseMessage(message));
    // All or none: a name that cannot be kept is found before anything is.
    for (const [name] of values) checkKey(name);
    const expiration = this.#expiration();
    for (const [name, value] of values) {
      const kept = stringifyLossless({ version: MESSAGE_VERSION, name, expiration, value });
      await this.#storage.set(Namespace.REFERENCE_VALUE, name, Buffer.from(kept));
    }
    return values.map(([name]) => name);
  }

  async query(name: string): Promise<unknown> {
    return (await this.#find(name))?.value;
  }

  /** All that have not run out, by name. Those that have are deleted. */
  async list(): Promise<readonly ReferenceValue[]> {
    const names = await this.#storage.list(Namespace.REFERENCE_VALUE);
    const found: ReferenceValue[] = [];
    for (const name of names.toSorted()) {
      const value = await this.#find(name);
      if (value === undefined) await this.delete(name);
      else found.push(value);
    }
    return found;
  }

  /** Resolves with whether there was one. */
  delete(name: string): Promise<boolean> {
    return this.#storage.delete(Namespace.REFERENCE_VALUE, name);
  }

  async #find(name: string): Promise<ReferenceValue | undefined> {
    const bytes = await this.#storage.get(Namespace.REFERENCE_VALUE, name);
    if (bytes === undefined) return undefined;
    try {
      const kept = new FieldReader(parseJsonBytes(bytes, name, "storage"), name, "storage");
      const expiration = kept.text("expiration");
      // A date that cannot be read has passed.
      return Date.parse(expiration) > this.#now() ? { name, expiration, value: kept.get("value") } : undefined;
    } catch (cause) {
      throw new TrusteeError("storage", `reference value ${JSON.stringify(name)}: ${errorText(cause)}`, { cause });
    }
  }

  #expiration(): string {
    const date = new Date(this.#now());
    date.setUTCMonth(date.getUTCMonth() + MONTHS_VALID);
    return date.toISOString().replace(/\.\d+Z$/u, "Z");
  }
}
