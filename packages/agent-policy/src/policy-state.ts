import { PolicyError } from "./error.ts";
import { applyOperations, applyPatch, type Json, type Operation, parseOperation } from "./json-patch.ts";

/** The document that policies keep their state in. */
interface StateDocument {
  readonly pstate?: Json;
}

/** Whose request it is that a patch comes from. */
export interface About {
  /** Id of the container that the request is about. */
  readonly container?: string;
  /** Whether it is the request that creates it. */
  readonly creates?: boolean;
  /** Whether it is the request that removes it. */
  readonly removes?: boolean;
}

/** A state and what is known of its keys; never changed, a patch makes a new one. */
export class PolicyState {
  static readonly EMPTY: PolicyState = new PolicyState({ pstate: {} }, new Set());

  readonly document: Json;
  /** Keys of `pstate` that came with a request about the container of that id. */
  readonly #containers: ReadonlySet<string>;

  private constructor(document: Json, containers: ReadonlySet<string>) {
    this.document = document;
    this.#containers = containers;
  }

  /**
   * The state after a patch that a rule gave with its yes. Throws PolicyError `evaluation` where the patch does not apply.
   *
   * Upstream's policies keep what they know of containers under `/pstate/ID` beside names of their own, and the host
   * chooses the ids. A key is the one or the other, and a container's key is written by requests about that container:
   * whatever would mix them up is refused.
   *
   * A request to remove a container does not end it: it may come while the container is being made, or fail. Its key
   * stays until {@link without} is told that it is gone, or its name and id would be free while it runs.
   */
  after(ops: readonly Json[], about: About = {}): PolicyState {
    const { container, creates = false, removes = false } = about;
    // Policies put the id into a path; one that is more than one step of it leads into what they keep of others.
    if (container !== undefined && /[/~]/u.test(container)) throw refused(`${container} is no container's id`);
    const operations = ops.map(parseOperation);
    const patched = applyOperations(this.document, operations);
    const document = removes && container !== undefined ? this.#keeping(container, patched) : patched;
    const containers = new Set(this.#containers);
    for (const key of operations.flatMap(touched)) {
      if (key !== container) continue;
      const known = this.#containers.has(key);
      if (has(this.document, key) && !known) throw collision(key);
      if (creates && known) throw refused(`the container id ${key} is in use`);
    }
    const written = operations.filter(({ op }) => op !== "remove" && op !== "test").flatMap(writes);
    for (const { key, whole } of written) {
      if (key !== container && this.#containers.has(key)) throw collision(key);
      if (creates && key === container && whole && count(written, key) > 1) throw collision(key);
    }
    if (container !== undefined && has(document, container) && !has(this.document, container)) {
      containers.add(container);
    }
    for (const key of containers) if (!has(document, key)) containers.delete(key);
    return new PolicyState(document, containers);
  }

  /** A later document with what this one has of a container. */
  #keeping(container: string, document: Json): Json {
    if (!this.#containers.has(container) || has(document, container)) return document;
    const value = (this.document as { readonly pstate: Readonly<Record<string, Json>> }).pstate[container] ?? null;
    return applyPatch(document, [{ op: "add", path: `/pstate/${container}`, value }]);
  }

  /** The state without a container that is gone; this very state where it has nothing of it. */
  without(container: string): PolicyState {
    if (!this.#containers.has(container)) return this;
    return this.after([{ op: "remove", path: `/pstate/${container}` }], { container });
  }
}

function has(document: Json, key: string): boolean {
  const pstate = (document as StateDocument | null)?.pstate;
  return typeof pstate === "object" && pstate !== null && !Array.isArray(pstate) && Object.hasOwn(pstate, key);
}

/** A key of `pstate` that an operation writes, the whole of it or a part. */
interface Written {
  readonly key: string;
  readonly whole: boolean;
}

function writes({ path: [first, key, ...rest] }: Operation): Written[] {
  return first === "pstate" && key !== undefined ? [{ key, whole: rest.length === 0 }] : [];
}

/** The keys of `pstate` that an operation has to do with. */
function touched({ path, from = [] }: Operation): string[] {
  return [path, from].flatMap(([first, key]) => (first === "pstate" && key !== undefined ? [key] : []));
}

function count(written: readonly Written[], key: string): number {
  return written.filter((one) => one.key === key && one.whole).length;
}

function collision(key: string): PolicyError {
  return refused(`the container id ${key} is a name in the policy's state`);
}

function refused(why: string): PolicyError {
  return new PolicyError("evaluation", `policy check: ${why}`);
}
