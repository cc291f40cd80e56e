import { GenPolicyError } from "./error.ts";

/** Where an object stands in its file. */
export interface Place {
  readonly file: string;
  /** The line of a value by its path in the document, from 1. */
  readonly line: (path: readonly PathStep[]) => number;
  readonly path: readonly PathStep[];
}

export type PathStep = string | number;

/**
 * One object of a manifest. Each field is asked for by name; `done` refuses what nobody asked for, so that nothing in a
 * manifest is passed over that could change what runs.
 */
export class Fields {
  readonly #place: Place;
  readonly #object: Readonly<Record<string, unknown>>;
  readonly #asked = new Set<string>();

  private constructor(place: Place, object: Readonly<Record<string, unknown>>) {
    this.#place = place;
    this.#object = object;
  }

  static of(place: Place, value: unknown): Fields {
    return new Fields(place, object(describe(place), value));
  }

  /** This object in an error's message: `pod.yaml:12: spec.containers[0]`. */
  get path(): string {
    return describe(this.#place);
  }

  /** A field of it, or what is below one, in an error's message. */
  at(...steps: readonly PathStep[]): string {
    return describe(this.#below(...steps));
  }

  has(name: string): boolean {
    this.#asked.add(name);
    return this.#value(name) !== undefined;
  }

  text(name: string): string | undefined {
    const value = this.#ask(name);
    if (value === undefined || typeof value === "string") return value;
    throw this.#wrong(name, "text", value);
  }

  needed(name: string): string {
    const value = this.text(name);
    if (value === undefined || value === "") throw new GenPolicyError("manifest", `${this.path}: no ${name}`);
    return value;
  }

  flag(name: string): boolean | undefined {
    const value = this.#ask(name);
    if (value === undefined || typeof value === "boolean") return value;
    throw this.#wrong(name, "true or false", value);
  }

  integer(name: string): number | undefined {
    const value = this.#ask(name);
    if (value === undefined || (typeof value === "number" && Number.isSafeInteger(value))) return value;
    throw this.#wrong(name, "an integer", value);
  }

  texts(name: string): readonly string[] | undefined {
    const value = this.#ask(name);
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
    throw this.#wrong(name, "a list of texts", value);
  }

  integers(name: string): readonly number[] {
    const value = this.#ask(name) ?? [];
    if (Array.isArray(value) && value.every((item) => Number.isSafeInteger(item))) return value as readonly number[];
    throw this.#wrong(name, "a list of integers", value);
  }

  child(name: string): Fields | undefined {
    const value = this.#ask(name);
    return value === undefined ? undefined : Fields.of(this.#below(name), value);
  }

  /** A list of anything, which must be there. */
  list(name: string): readonly unknown[] {
    const value = this.#ask(name);
    if (Array.isArray(value)) return value;
    throw this.#wrong(name, "a list", value);
  }

  children(name: string): readonly Fields[] {
    const value = this.#ask(name) ?? [];
    if (!Array.isArray(value)) throw this.#wrong(name, "a list", value);
    return value.map((item, i) => Fields.of(this.#below(name, i), item));
  }

  /** A map of texts. */
  map(name: string): Readonly<Record<string, string>> {
    const value = object(this.at(name), this.#ask(name) ?? {});
    for (const [key, item] of Object.entries(value)) {
      if (typeof item !== "string") {
        throw new GenPolicyError(
          "manifest",
          `${describe(this.#below(name, key))}: expected text, which numbers and true are not without quotes`,
        );
      }
    }
    return value as Readonly<Record<string, string>>;
  }

  /** A map of quantities, which may be written as numbers. */
  quantities(name: string): Readonly<Record<string, string>> {
    return Object.fromEntries(
      Object.entries(object(this.at(name), this.#ask(name) ?? {})).map(([key, value]) => {
        if (typeof value !== "string" && typeof value !== "number") {
          throw new GenPolicyError("manifest", `${describe(this.#below(name, key))}: expected a quantity`);
        }
        return [key, String(value)];
      }),
    );
  }

  /** A quantity, which may be written as a number. */
  quantity(name: string): string {
    const value = this.#ask(name);
    if (typeof value === "string" || typeof value === "number") return String(value);
    throw this.#wrong(name, "a quantity", value);
  }

  /** Fields that change nothing of what the host asks the guest for. */
  ignore(...names: readonly string[]): void {
    for (const name of names) this.#asked.add(name);
  }

  /** Refuses a field that must have one of these values, if it is there at all. */
  only(name: string, why: string, ...values: readonly unknown[]): void {
    const value = this.#ask(name);
    if (value === undefined || values.includes(value)) return;
    throw new GenPolicyError("unsupported", `${this.at(name)}: ${JSON.stringify(value)}: ${why}`);
  }

  /** Throws for a field that was not asked for. */
  done(): void {
    for (const name of Object.keys(this.#object)) {
      if (!this.#asked.has(name)) {
        throw new GenPolicyError("unsupported", `${this.at(name)}: not known to the policy's generator`);
      }
    }
  }

  #below(...steps: readonly PathStep[]): Place {
    return { ...this.#place, path: [...this.#place.path, ...steps] };
  }

  #ask(name: string): unknown {
    this.#asked.add(name);
    return this.#value(name);
  }

  /** Kubernetes takes null for absent. */
  #value(name: string): unknown {
    return Object.hasOwn(this.#object, name) ? (this.#object[name] ?? undefined) : undefined;
  }

  #wrong(name: string, expected: string, value: unknown): GenPolicyError {
    return new GenPolicyError(
      "manifest",
      `${this.at(name)}: expected ${expected}, got ${JSON.stringify(value) ?? "nothing"}`,
    );
  }
}

function object(path: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new GenPolicyError("manifest", `${path}: expected an object, got ${JSON.stringify(value) ?? "nothing"}`);
}

function describe({ file, line, path }: Place): string {
  const where = `${file}:${line(path)}`;
  return path.length === 0 ? where : `${where}: ${dotted(path)}`;
}

function dotted(path: readonly PathStep[]): string {
  return path
    .map((step, i) => {
      if (typeof step === "number") return `[${step}]`;
      if (!/^[\w-]+$/u.test(step)) return `[${JSON.stringify(step)}]`;
      return i === 0 ? step : `.${step}`;
    })
    .join("");
}
