import { type FieldDescriptor, messageDescriptor } from "@nacre/protocols";

/** Whole numbers below `n`, the same on every run. */
export function seeded(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

/** A message, and the policy input that the rules of section 4.1 give it, built side by side. */
export interface Made {
  readonly message: Record<string, unknown>;
  readonly input: Record<string, unknown>;
}

const TEXTS = ["", "a", '"\\\n\u0000\u001f', "grün ✓ 🦀", "\u2028\u007f", "$(sandbox-id)", "__proto__"];
const KEYS = ["__proto__", "constructor", "1", "io.kubernetes.cri-o.TTY", 'q"'];
const INTEGERS: Readonly<Record<string, readonly (number | bigint)[]>> = {
  int32: [0, 1, -1, -2147483648, 2147483647],
  uint32: [0, 1, 4294967295],
  int64: [0n, -1n, 9007199254740993n, -9223372036854775808n, 9223372036854775807n],
  uint64: [0n, 9007199254740993n, 18446744073709551615n],
};

/** A random value for every declared field of a message, messages within messages down to a few levels. */
export function randomMessage(type: string, random: (n: number) => number, depth = 0): Made {
  const message: Record<string, unknown> = {};
  const input: Record<string, unknown> = {};
  const chosen = new Map<string, string>();
  for (const field of messageDescriptor(type).fields) {
    if (field.oneof !== undefined && field.oneof !== field.name) {
      // At most one member of a oneof is there, and it is seen under the oneof's name.
      input[field.oneof] ??= null;
      const free = !chosen.has(field.oneof) && random(2) === 0;
      const one = free ? value(field, random, depth) : undefined;
      message[field.name] = one === undefined ? null : one.message;
      if (one === undefined) continue;
      chosen.set(field.oneof, field.name);
      const key = field.name.charAt(0).toUpperCase() + field.name.slice(1);
      input[field.oneof] = { [key]: one.input };
      continue;
    }
    const made = member(field, random, depth);
    message[field.name] = made.message;
    input[field.name === "type" ? "type_" : field.name] = made.input;
  }
  return { message, input };
}

interface Pair {
  readonly message: unknown;
  readonly input: unknown;
}

function member(field: FieldDescriptor, random: (n: number) => number, depth: number): Pair {
  if (field.kind === "map") {
    const message = Object.create(null) as Record<string, unknown>;
    const input = Object.create(null) as Record<string, unknown>;
    for (const key of KEYS.slice(0, random(KEYS.length + 1))) {
      const one = value(field, random, depth);
      message[key] = one.message;
      input[key] = one.input;
    }
    return { message, input };
  }
  if (field.repeated) {
    const many = Array.from({ length: depth > 3 ? 0 : random(4) }, () => value(field, random, depth));
    return { message: many.map((one) => one.message), input: many.map((one) => one.input) };
  }
  const absent = field.valueKind === "message" || field.optional;
  if (absent && (depth > 3 || random(4) === 0)) return { message: null, input: null };
  return value(field, random, depth);
}

function value(field: FieldDescriptor, random: (n: number) => number, depth: number): Pair {
  if (field.valueKind === "message") return randomMessage(field.type, random, depth + 1);
  if (field.valueKind === "enum") return same(random(2));
  if (field.type === "bool") return same(random(2) === 1);
  if (field.type === "string") return same(TEXTS[random(TEXTS.length)] ?? "");
  if (field.type === "bytes") {
    const bytes = Uint8Array.from({ length: random(6) }, () => random(256));
    return { message: bytes, input: Array.from(bytes) };
  }
  const numbers = INTEGERS[field.type] ?? [0];
  return same(numbers[random(numbers.length)] ?? 0);
}

function same(one: unknown): Pair {
  return { message: one, input: one };
}
