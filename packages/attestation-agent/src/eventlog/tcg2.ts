import { createHash } from "node:crypto";

import { AgentError } from "../error.ts";

export type LogHash = "sha256" | "sha384";
/** Hashes of registers by their numbers in TCG logs. */
export const ALGORITHMS: Readonly<Record<LogHash, number>> = { sha256: 0x0b, sha384: 0x0c };

/** Bytes of a digest, by its algorithm's number. */
const DIGEST_BYTES: ReadonlyMap<number, number> = new Map([
  [0x0b, 32],
  [0x0c, 48],
  [0x0d, 64],
  [0x12, 32],
]);
/** EV_EVENT_TAG and EV_NO_ACTION. */
const EVENT_TAG = 6;
const NO_ACTION = 3;
/** "AAEL" as a number; the log has it little-endian. */
const AAEL = 0x4141454c;
/** Bytes of an event's text: a name of an image and a digest have hundreds. */
export const MAX_EVENT: number = 16 * 1024;

/** An event of the agent: what happened, for those who read logs. */
export interface AgentEvent {
  readonly domain: string;
  readonly operation: string;
  readonly content: string;
}

/** One line of three words, of which only the last may have blanks: readers split at them. Throws AgentError `request`. */
export function eventText({ domain, operation, content }: AgentEvent): string {
  for (const [name, word] of Object.entries({ domain, operation })) {
    if (!/^[^\s\p{Cc}]+$/u.test(word)) throw new AgentError("request", `event: expected one word as ${name}`);
  }
  if (content.includes("\n")) throw new AgentError("request", "event: expected no newline in the content");
  const text = `${domain} ${operation} ${content}`;
  if (Buffer.byteLength(text) > MAX_EVENT) {
    throw new AgentError("request", `event: expected at most ${MAX_EVENT} bytes`);
  }
  return text;
}

/** The tagged data that is hashed and logged. */
function eventData(text: string): Buffer {
  const bytes = Buffer.from(text);
  const head = Buffer.alloc(8);
  head.writeUInt32LE(AAEL, 0);
  head.writeUInt32LE(bytes.length, 4);
  return Buffer.concat([head, bytes]);
}

/** What a register is extended with. */
export function eventDigest(text: string, hash: LogHash): Buffer {
  return createHash(hash).update(eventData(text)).digest();
}

/** What a register holds after it is extended. */
export function extended(value: Uint8Array, digest: Uint8Array, hash: LogHash): Buffer {
  return createHash(hash).update(value).update(digest).digest();
}

/** An entry of a TCG2 log (crypto-agile form): register, type, digests, data; little-endian. */
export function encodeEntry(register: number, text: string, hash: LogHash): Buffer {
  const data = eventData(text);
  const head = Buffer.alloc(14);
  head.writeUInt32LE(register, 0);
  head.writeUInt32LE(EVENT_TAG, 4);
  head.writeUInt32LE(1, 8);
  head.writeUInt16LE(ALGORITHMS[hash], 12);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(data.length);
  return Buffer.concat([head, eventDigest(text, hash), size, data]);
}

/** What ends a log. */
export const END: Buffer = Buffer.alloc(8, 0xff);
const ENDS: readonly Buffer[] = [END, Buffer.alloc(8)];

/** The header of a log that begins with the agent's own events: a specification's id, SHA-384 and SM3. */
export const HEADER: Buffer = Buffer.concat([
  // An event of no action, its old digest empty.
  Buffer.from("0000000003000000", "hex"),
  Buffer.alloc(20),
  Buffer.from("25000000", "hex"),
  // Two algorithms with their sizes, and nothing of a vendor.
  Buffer.alloc(24),
  Buffer.from("020000000c0030001200200000", "hex"),
]);

/** The firmware's log without its end and what follows. Throws AgentError `event-log`. */
export function cutAtEnd(log: Buffer): Buffer {
  let at = 0;
  const need = (length: number): number => {
    const from = at;
    at += length;
    if (at > log.length)
      throw new AgentError("event-log", `CCEL: expected ${length} bytes at ${from} of ${log.length}`);
    return from;
  };
  const u32 = (): number => log.readUInt32LE(need(4));
  // The first entry is of the older form, with one SHA-1 digest.
  u32();
  const first = u32();
  need(20);
  if (first === NO_ACTION) need(u32());
  for (;;) {
    const start = at;
    const mark = log.subarray(need(8), at);
    if (ENDS.some((end) => end.equals(mark))) return log.subarray(0, start);
    for (let digests = u32(); digests > 0; digests--) {
      const size = DIGEST_BYTES.get(log.readUInt16LE(need(2)));
      if (size === undefined) throw new AgentError("event-log", `CCEL: expected a known digest before ${at}`);
      need(size);
    }
    need(u32());
  }
}
