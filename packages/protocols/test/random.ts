import { type FieldDescriptor, messageDescriptor } from "../src/index.ts";

/** A seeded generator (mulberry32), so that a failing case is repeated by its seed. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** An integer from 0 to `n` - 1. */
  below(n: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  }

  pick<T>(list: readonly T[]): T {
    const value = list[this.below(list.length)];
    if (value === undefined) throw new Error("nothing to pick from");
    return value;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.below(256)));
  }
}

const WORDS = [
  "",
  "a",
  "/run/kata-containers",
  "__proto__",
  "ünïcödé",
  "日本語",
  "\u{1f980}",
  "nul\0inside",
  "x".repeat(200),
];
const INT32 = [0, 1, -1, 127, 128, 16_383, 16_384, 2 ** 31 - 1, -(2 ** 31)];
const UINT32 = [0, 1, 127, 128, 300, 2 ** 21, 2 ** 28, 2 ** 31, 2 ** 32 - 1];
const INT64 = [0n, 1n, -1n, 2n ** 31n, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n)];
const UINT64 = [0n, 1n, 127n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n];

/** A complete message of a type, each field with a random value. */
export function randomMessage(r: Random, typeName: string): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const field of messageDescriptor(typeName).fields) out[field.name] = randomField(r, field);
  return out;
}

function randomField(r: Random, field: FieldDescriptor): unknown {
  if (field.repeated) return Array.from({ length: r.below(4) }, () => one(r, field));
  if (field.kind === "map") {
    const map = Object.create(null) as Record<string, unknown>;
    for (let i = r.below(4); i > 0; i--) map[r.pick(WORDS)] = one(r, field);
    return map;
  }
  return (field.optional || field.kind === "message") && r.below(3) === 0 ? null : one(r, field);
}

function one(r: Random, field: FieldDescriptor): unknown {
  if (field.valueKind === "message") return randomMessage(r, field.type);
  if (field.valueKind === "enum") return r.pick([0, 1, 2, 99, -1]);
  switch (field.type) {
    case "string":
      return r.pick(WORDS);
    case "bytes":
      return r.bytes(r.below(40));
    case "bool":
      return r.below(2) === 1;
    case "int32":
      return r.pick(INT32);
    case "uint32":
      return r.pick(UINT32);
    case "int64":
      return r.pick(INT64);
    default:
      return r.pick(UINT64);
  }
}
