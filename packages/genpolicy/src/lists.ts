import { GenPolicyError } from "./error.ts";
import { Fields, type Place } from "./fields.ts";

/** An object of a manifest and where it stands. */
export interface Placed {
  readonly place: Place;
  readonly value: unknown;
}

/**
 * What a document holds: itself, or the items of a `List`, `PodList` and so on, which need not say of what kind they are
 * where the list does.
 * @param kinds those that matter here, of which a list must have items
 * @throws GenPolicyError `manifest`
 */
export function items(document: Placed, kinds: ReadonlySet<string>): readonly Placed[] {
  const found = listOf(document, kinds);
  if (found === undefined) return [document];
  return found.list.map((item: unknown, i) => {
    const place = { ...document.place, path: [...document.place.path, "items", i] };
    const value = isObject(item) && found.kind !== "" ? { kind: found.kind, ...item } : item;
    if (isList({ place, value }, kinds)) {
      throw new GenPolicyError("manifest", `${Fields.of(place, value).path}: a list in a list`);
    }
    return { place, value };
  });
}

/** A list and what its items are if they don't say; undefined for any other object. */
function listOf(
  { place, value }: Placed,
  kinds: ReadonlySet<string>,
): { readonly kind: string; readonly list: readonly unknown[] } | undefined {
  if (!isList({ place, value }, kinds)) return undefined;
  const fields = Fields.of(place, value);
  const kind = fields.needed("kind");
  const list = fields.list("items");
  if (!kind.endsWith("List")) {
    throw new GenPolicyError("manifest", `${fields.at("items")}: ${kind} is no kind of a list`);
  }
  return { kind: kind.slice(0, -"List".length), list };
}

/** By its items, as Kubernetes tells lists; by its kind alone where that is one of which items matter. */
function isList({ value }: Placed, kinds: ReadonlySet<string>): boolean {
  if (!isObject(value)) return false;
  const { kind } = value;
  if (Array.isArray(value["items"]) || kind === "List") return true;
  return typeof kind === "string" && kind.endsWith("List") && kinds.has(kind.slice(0, -"List".length));
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
