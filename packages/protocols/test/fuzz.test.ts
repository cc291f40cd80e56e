import { isDeepStrictEqual } from "node:util";
import { describe, expect, it } from "vitest";
import { decode, DecodeError, encode, messageTypes } from "../src/index.ts";
import { Random, randomMessage } from "./random.ts";

/** Decodes and gives the message, or nothing when it was refused; any other failure is the test's. */
function attempt(type: string, bytes: Uint8Array): object | undefined {
  try {
    return decode(type, bytes);
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

/** Every bytes field must lie inside the input. */
function checkViews(value: unknown, input: Uint8Array): void {
  if (value instanceof Uint8Array) {
    if (value.length > 0) {
      const inside =
        value.buffer === input.buffer &&
        value.byteOffset >= input.byteOffset &&
        value.byteOffset + value.length <= input.byteOffset + input.length;
      expect(inside).toBe(true);
    }
  } else if (typeof value === "object" && value !== null) for (const v of Object.values(value)) checkViews(v, input);
}

describe("hostile bytes (seeded)", () => {
  it("random bytes give a message or a DecodeError", () => {
    const random = new Random(1);
    const types = messageTypes();
    let accepted = 0;
    for (let i = 0; i < 20_000; i++) {
      const bytes = random.bytes(random.below(40));
      const message = attempt(random.pick(types), bytes);
      checkViews(message, bytes);
      if (message !== undefined) accepted++;
    }
    expect(accepted).toBeGreaterThan(500);
  });

  it("a message cut anywhere gives a message or a DecodeError", () => {
    for (let seed = 1; seed <= 10; seed++) {
      const whole = encode(
        "grpc.CreateContainerRequest",
        randomMessage(new Random(seed), "grpc.CreateContainerRequest"),
      );
      const step = Math.max(1, Math.floor(whole.length / 500));
      for (let n = 0; n < whole.length; n += step) attempt("grpc.CreateContainerRequest", whole.subarray(0, n));
      expect(attempt("grpc.CreateContainerRequest", whole)).toBeDefined();
    }
  });

  it("a message with a byte changed gives a message or a DecodeError, and what it gives can be written", () => {
    const random = new Random(2);
    const type = "grpc.CreateContainerRequest";
    const different: number[] = [];
    for (let seed = 1; seed <= 40; seed++) {
      const bytes = Buffer.from(encode(type, randomMessage(new Random(seed), type)));
      for (let i = 0; i < 50; i++) {
        const at = random.below(bytes.length);
        const before = bytes.readUInt8(at);
        bytes[at] = random.below(256);
        const message = attempt(type, bytes);
        if (message !== undefined && !isDeepStrictEqual(decode(type, encode(type, message)), message))
          different.push(seed);
        bytes.writeUInt8(before, at);
      }
    }
    expect(different).toEqual([]);
  });
});
