import { createHash } from "node:crypto";

import { TrusteeError } from "../../error.ts";
import { type EventDetails, eventDetails } from "./details.ts";
import { eventTypeName } from "./event-type.ts";
import { LittleEndianReader } from "./reader.ts";

/** Bytes of a log: a table of ACPI has 64 KiB to 1 MiB, and guests append what they measured. */
export const MAX_EVENT_LOG: number = 4 * 1024 * 1024;
const MAX_EVENTS = 65_536;
const MAX_ALGORITHMS = 16;

/** A hash algorithm of the TPM's registry: its name in claims, OpenSSL's, and the length of its digests. */
interface Algorithm {
  readonly name: string;
  readonly hash: string;
  readonly length: number;
}

const ALGORITHMS: ReadonlyMap<number, Algorithm> = new Map([
  [0x04, { name: "SHA-1", hash: "sha1", length: 20 }],
  [0x0b, { name: "SHA-256", hash: "sha256", length: 32 }],
  [0x0c, { name: "SHA-384", hash: "sha384", length: 48 }],
  [0x0d, { name: "SHA-512", hash: "sha512", length: 64 }],
  [0x12, { name: "SM3", hash: "sm3", length: 32 }],
]);

export interface EventDigest {
  readonly alg: string;
  readonly digest: string;
}

/** An event as claims show it. */
export interface MeasuredEvent {
  readonly index: number;
  readonly type_name: string;
  readonly digests: readonly EventDigest[];
  /** The event's data in base64. */
  readonly event: string;
  /** Every digest is that of the data; some kinds of events measure something else. */
  readonly digest_matches_event: boolean;
  readonly details: EventDetails;
}

/**
 * Reads a crypto-agile event log (TCG PC Client Platform Firmware Profile 10): the header event that names the
 * algorithms, then events until eight bytes of 0xff or 0x00, or the end. Throws `evidence` for what is cut off, of an
 * unknown type or algorithm, or whose data is not what its type has.
 */
export function parseEventLog(bytes: Buffer): readonly MeasuredEvent[] {
  if (bytes.length > MAX_EVENT_LOG) throw bad(`at most ${MAX_EVENT_LOG} bytes, got ${bytes.length}`);
  const reader = new LittleEndianReader(bytes, "event log");
  const lengths = readHeader(reader);
  const events: MeasuredEvent[] = [];
  while (reader.left > 0 && !isEnd(reader)) {
    if (events.push(readEvent(reader, lengths)) > MAX_EVENTS) throw bad(`at most ${MAX_EVENTS} events`);
  }
  return events;
}

/** What a register of this algorithm holds after the log's events for it: zeros, extended by each. */
export function replay(events: readonly MeasuredEvent[], index: number, alg: "SHA-256" | "SHA-384"): Buffer {
  const { hash, length } = alg === "SHA-256" ? { hash: "sha256", length: 32 } : { hash: "sha384", length: 48 };
  let register: Buffer = Buffer.alloc(length);
  for (const event of events) {
    if (event.index !== index) continue;
    for (const { alg: of, digest } of event.digests) {
      if (of === alg) register = createHash(hash).update(register).update(digest, "hex").digest();
    }
  }
  return register;
}

/** Throws `mismatch` unless the log leads to what the register holds. */
export function expectReplay(events: readonly MeasuredEvent[], index: number, register: Buffer): void {
  const replayed = replay(events, index, "SHA-384");
  if (replayed.equals(register)) return;
  throw new TrusteeError(
    "mismatch",
    `Eventlog does not pass measurement replay CC Event Log Measurement Register [index = ${index}]. ` +
      `Calculated value: ${replayed.toString("hex")}, Given value: ${register.toString("hex")}`,
  );
}

/** The first event is in the old format, with the lengths of digests (TCG_EfiSpecIdEvent). */
function readHeader(reader: LittleEndianReader): ReadonlyMap<number, number> {
  reader.u32(); // register
  const type = reader.u32();
  if (eventTypeName(type) !== "EV_NO_ACTION") throw bad("the specification's event first");
  reader.take(20); // an SHA-1 digest that means nothing
  const event = new LittleEndianReader(reader.take(reader.u32()), "event log header");
  event.take(24); // signature, platform class, version
  const count = event.u32();
  if (count > MAX_ALGORITHMS) throw bad(`at most ${MAX_ALGORITHMS} algorithms, got ${count}`);
  const lengths = new Map<number, number>();
  for (let i = 0; i < count; i++) lengths.set(event.u16(), event.u16());
  event.take(event.u8()); // vendor's
  event.end();
  return lengths;
}

function isEnd(reader: LittleEndianReader): boolean {
  const next = reader.peek(8);
  if (next.length < 8) throw bad("an event or the end");
  return next.every((byte) => byte === 0xff) || next.every((byte) => byte === 0);
}

function readEvent(reader: LittleEndianReader, lengths: ReadonlyMap<number, number>): MeasuredEvent {
  const index = reader.u32();
  const typeNumber = reader.u32();
  const type_name = eventTypeName(typeNumber);
  if (type_name === undefined) throw bad(`a known type, got 0x${typeNumber.toString(16)}`);
  const count = reader.u32();
  if (count > MAX_ALGORITHMS) throw bad(`at most ${MAX_ALGORITHMS} digests, got ${count}`);
  const digests: { readonly algorithm: Algorithm; readonly digest: Buffer }[] = [];
  for (let i = 0; i < count; i++) {
    const id = reader.u16();
    const algorithm = ALGORITHMS.get(id);
    if (algorithm === undefined || lengths.get(id) !== algorithm.length) {
      throw bad(`an algorithm that the header names, got 0x${id.toString(16)}`);
    }
    digests.push({ algorithm, digest: reader.take(algorithm.length) });
  }
  const data = reader.take(reader.u32());
  return {
    index,
    type_name,
    digests: digests.map(({ algorithm, digest }) => ({ alg: algorithm.name, digest: digest.toString("hex") })),
    event: data.toString("base64"),
    digest_matches_event: digests.every(({ algorithm, digest }) =>
      createHash(algorithm.hash).update(data).digest().equals(digest),
    ),
    details: eventDetails(type_name, data),
  };
}

function bad(expected: string): TrusteeError {
  return new TrusteeError("evidence", `event log: expected ${expected}`);
}
