import { PolicyError } from "./error.ts";
import { applyPatch, type Json, parseOperation } from "./json-patch.ts";

/** The document that policies keep their state in. */
interface StateDocument {
  readonly pstate?: Json;
}

/** A state and what is known of its keys; never changed, a patch makes a new one. */
export class PolicyState {
  static readonly EMPTY: PolicyState = new PolicyState({ pstate: {} }, new Set());

  readonly document: Json;
  /** Keys of `pstate` that are ids of containers which were created with that key. */
  readonly #containers: ReadonlySet<string>;

  private constructor(document: Json, containers: ReadonlySet<string>) {
    this.document = document;
    this.#containers = containers;
  }

  /**
   * The state after a patch that a rule gave with its yes. Throws PolicyError `evaluation` where the patch does not apply.
   *
   * Upstream's policies keep what they know of containers under `/pstate/ID` beside names of their own, and the host
   * chooses the ids. A key is the one or the other: a container whose id is such a name, or a name that is a container's
   * id, is refused.
   *
   * @param creates the container that the request creates.
   */
  after(ops: readonly Json[], creates?: string): PolicyState {
    const document = applyPatch(this.document, ops);
    const containers = new Set(this.#containers);
    const written = ops.map(parseOperation).flatMap(({ path: [first, key, ...rest] }) => {
      return first === "pstate" && key !== undefined && rest.length === 0 ? [key] : [];
    });
    for (const key of written) {
      if (key === creates) {
        const taken = this.#has(key) && !this.#containers.has(key);
        if (taken || written.filter((other) => other === key).length > 1) throw collision(key);
        containers.add(key);
      } else if (creates !== undefined && containers.has(key)) throw collision(key);
    }
    for (const key of containers) if (!has(document, key)) containers.delete(key);
    return new PolicyState(document, containers);
  }

  /** The state without a container that is gone; this very state where it has nothing of it. */
  without(container: string): PolicyState {
    if (!this.#containers.has(container)) return this;
    const path = `/pstate/${container.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    return this.after([{ op: "remove", path }]);
  }

  #has(key: string): boolean {
    return has(this.document, key);
  }
}

function has(document: Json, key: string): boolean {
  const pstate = (document as StateDocument | null)?.pstate;
  return typeof pstate === "object" && pstate !== null && !Array.isArray(pstate) && Object.hasOwn(pstate, key);
}

function collision(key: string): PolicyError {
  return new PolicyError("evaluation", `policy check: the container id ${key} is a name in the policy's state`);
}
