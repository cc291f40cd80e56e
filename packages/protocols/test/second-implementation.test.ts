import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import protobuf from "protobufjs";
import { describe, expect, it } from "vitest";
import { decode, encode, messageTypes } from "../src/index.ts";
import { Random, randomMessage } from "./random.ts";

/** protobufjs, which proto-loader brings along, reads the same .proto files and serves as the other opinion. */
const protos = resolve(import.meta.dirname, "../../../protos");
const roots = readdirSync(protos, { withFileTypes: true })
  .filter((e) => e.isDirectory())
  .map(({ name }) => {
    const root = new protobuf.Root();
    root.resolvePath = (_, target) => (target.startsWith("google/") ? target : join(protos, name, target));
    return root.loadSync(readdirSync(join(protos, name)), { keepCase: true });
  });

function theirs(type: string): protobuf.Type {
  for (const root of roots) {
    const found = root.lookup(type, [protobuf.Type]);
    if (found !== null) return found as protobuf.Type;
  }
  throw new Error(`protobufjs does not know ${type}`);
}

interface Halves {
  readonly low: number;
  readonly high: number;
  readonly unsigned: boolean;
}

const isHalves = (value: object): value is Halves => "low" in value && "high" in value && "unsigned" in value;

/** What they decode, as our tree: 64-bit integers as bigints, absent fields as null. */
function normal(value: unknown): unknown {
  if (value instanceof Uint8Array || typeof value !== "object" || value === null) return value;
  if (isHalves(value)) {
    const bits = (BigInt(value.high >>> 0) << 32n) | BigInt(value.low >>> 0);
    return value.unsigned ? bits : BigInt.asIntN(64, bits);
  }
  if (Array.isArray(value)) return value.map(normal);
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, normal(v)]));
}

/** Our tree as they take it, two halves for a bigint. */
function forThem(value: unknown): unknown {
  if (typeof value === "bigint") {
    return {
      low: Number(BigInt.asIntN(32, value)),
      high: Number(BigInt.asIntN(32, value >> 32n)),
      unsigned: value >= 0n,
    };
  }
  if (value instanceof Uint8Array || typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(forThem);
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, v]) => v !== null)
      .map(([k, v]) => [k, forThem(v)]),
  );
}

const ROUNDS = 20;

describe.each(messageTypes().map((type) => [type]))("%s", (type) => {
  it("means the same to protobufjs, both ways (seeded)", () => {
    const them = theirs(type);
    for (let seed = 1; seed <= ROUNDS; seed++) {
      const message = withoutProto(randomMessage(new Random(seed), type));
      const ours = encode(type, message);
      expect(decode(type, ours), `seed ${seed}`).toEqual(message);
      const back = them.toObject(them.decode(ours), { defaults: true, arrays: true, objects: true });
      expect(dropNulls(normal(back)), `seed ${seed}`).toEqual(dropNulls(plain(message)));
      expect(decode(type, them.encode(them.create(forThem(message) as object)).finish()), `seed ${seed}`).toEqual(
        message,
      );
    }
  });
});

/** protobufjs keeps maps in ordinary objects and drops the key `__proto__`; ours is tested on its own. */
function withoutProto(value: unknown): Record<string, unknown> {
  const strip = (v: unknown): unknown => {
    if (v instanceof Uint8Array || typeof v !== "object" || v === null) return v;
    if (Array.isArray(v)) return v.map(strip);
    const out = Object.create(Object.getPrototypeOf(v) as object | null) as Record<string, unknown>;
    for (const [k, inner] of Object.entries(v)) if (k !== "__proto__") out[k] = strip(inner);
    return out;
  };
  return strip(value) as Record<string, unknown>;
}

function plain(value: unknown): unknown {
  if (value instanceof Uint8Array || typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]));
}

/** Absent is null in one tree and missing in the other. */
function dropNulls(value: unknown): unknown {
  if (value instanceof Uint8Array || typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(dropNulls);
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, v]) => v !== null)
      .map(([k, v]) => [k, dropNulls(v)]),
  );
}
