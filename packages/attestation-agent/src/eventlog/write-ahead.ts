import { AgentError } from "../error.ts";

/** What is written down before a register is extended. */
export interface WriteAhead {
  /** Where the entry goes in the log. */
  readonly offset: number;
  /** What the register will hold. */
  readonly expected: Buffer;
  readonly text: string;
  readonly register: number;
}

const OFFSET = 8;

/**
 * Upstream's form: the offset (big-endian), the register's value to be, the event's text. The register follows behind a
 * newline, which no text has; upstream always means its configured one.
 */
export function encodeWriteAhead({ offset, expected, text, register }: WriteAhead): Buffer {
  const head = Buffer.alloc(OFFSET);
  head.writeBigUInt64BE(BigInt(offset));
  return Buffer.concat([head, expected, Buffer.from(`${text}\n${register}`)]);
}

/** Throws AgentError `event-log`. */
export function decodeWriteAhead(bytes: Buffer, digestBytes: number, defaultRegister: number): WriteAhead {
  const head = OFFSET + digestBytes;
  if (bytes.length <= head) throw new AgentError("event-log", `write-ahead file: expected more than ${head} bytes`);
  const offset = bytes.readBigUInt64BE(0);
  const [text = "", register, more] = bytes.toString("utf8", head).split("\n");
  if (offset > BigInt(Number.MAX_SAFE_INTEGER) || more !== undefined || !/^\d{0,4}$/u.test(register ?? "")) {
    throw new AgentError("event-log", "write-ahead file: expected an offset, a value, one line and a register");
  }
  return {
    offset: Number(offset),
    expected: bytes.subarray(OFFSET, head),
    text,
    register: register === undefined ? defaultRegister : Number(register),
  };
}
