import { GenPolicyError } from "./error.ts";
import type { Fields } from "./fields.ts";

/** Values of a ConfigMap or Secret. */
export interface Values {
  readonly kind: "ConfigMap" | "Secret";
  readonly name: string;
  readonly namespace: string | undefined;
  /** Text, or bytes that need not be. */
  readonly data: ReadonlyMap<string, Buffer>;
  /** File and line, for errors. */
  readonly place: string;
}

/** @throws GenPolicyError `manifest` */
export function readValues(kind: Values["kind"], fields: Fields): Values {
  const metadata = fields.child("metadata");
  if (metadata === undefined) throw new GenPolicyError("manifest", `${fields.path}: no metadata`);
  const name = metadata.needed("name");
  const [encoded, plain] = kind === "Secret" ? ["data", "stringData"] : ["binaryData", "data"];
  const data = new Map<string, Buffer>();
  for (const [key, value] of Object.entries(fields.map(encoded))) {
    data.set(key, decoded(value, fields.at(encoded, key)));
  }
  for (const [key, value] of Object.entries(fields.map(plain))) data.set(key, Buffer.from(value));
  return { kind, name, namespace: metadata.text("namespace"), data, place: fields.path };
}

/** Base64 as Go reads it: whole, with its padding; ends of lines don't count. */
function decoded(text: string, where: string): Buffer {
  const whole = text.replaceAll(/[\r\n]/gu, "");
  if (whole.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/u.test(whole)) {
    throw new GenPolicyError("manifest", `${where}: expected base64`);
  }
  return Buffer.from(whole, "base64");
}

/**
 * The values that a pod of this namespace can refer to; those of no namespace are put into the pod's.
 * @throws GenPolicyError `manifest`: which of two is meant, nobody could say
 */
export function valuesFor(namespace: string, all: readonly Values[]): readonly Values[] {
  const places = new Map<string, string>();
  for (const { kind, name, namespace: own = namespace, place } of all) {
    const what = JSON.stringify([kind, own, name]);
    const other = places.get(what);
    if (other !== undefined) {
      throw new GenPolicyError("manifest", `${place}: two ${kind}s ${name} of namespace ${own}, the other at ${other}`);
    }
    places.set(what, place);
  }
  return all.filter(({ namespace: own = namespace }) => own === namespace);
}
