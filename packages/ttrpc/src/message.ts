/**
 * The four messages of ttRPC itself (Request, Response, Status, KeyValue), coded by hand: they are on the path of every
 * call, and a request is routed here without making one string.
 * Texts of decode errors are the ones the Rust implementation sends (golden replies `wire/*`).
 */

/** What is wrong with bytes that are no message; sent to the peer as they are. */
export const DecodeProblem = {
  VARINT: "Incorrect varint",
  EOF: "Unexpected EOF",
  UTF8: "Invalid UTF-8 sequence",
  TAG: "Incorrect tag",
} as const;
/** One of the texts of {@link DecodeProblem}. */
export type DecodeProblem = (typeof DecodeProblem)[keyof typeof DecodeProblem];

/** Groups may nest in unknown fields; deeper than this is refused (protobuf's usual recursion limit). */
const MAX_GROUP_DEPTH = 100;

/** A decoded Request: where its parts lie in the buffer. One instance serves a whole connection. */
export class RequestView {
  serviceStart = 0;
  serviceEnd = 0;
  methodStart = 0;
  methodEnd = 0;
  payloadStart = 0;
  payloadEnd = 0;
  /** Nanoseconds, rounded to what a double holds; 0 or less means none. */
  timeoutNano = 0;
  /** Offset of the first metadata field, or -1: most requests need no walk over them. */
  metadataStart = -1;
}

/** A decoded Response. `payload` is a view of the buffer. */
export interface ResponseView {
  code: number;
  message: string;
  payload: Uint8Array;
  /** Encoded details of the status, views of the buffer. */
  details: Uint8Array[];
}

/** A status has one or two; more are passed over. */
const MAX_DETAILS = 16;

// The read position and the last failure. Decoding is synchronous and never re-entered, so that module variables are
// safe, and they spare an object for each varint.
let pos = 0;
let problem: DecodeProblem | undefined;

/** A varint of at most 32 bits: tags and lengths. Returns -1 on failure and sets `problem`. */
function varint32(b: Uint8Array, end: number): number {
  let value = 0;
  for (let shift = 0; shift < 35; shift += 7) {
    if (pos >= end) return fail(DecodeProblem.EOF);
    const byte = b[pos++] as number;
    if (shift === 28 && byte > 0x0f) return fail(DecodeProblem.VARINT);
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return value;
  }
  return fail(DecodeProblem.VARINT);
}

function fail(p: DecodeProblem): -1 {
  problem = p;
  return -1;
}

function no(p: DecodeProblem): false {
  problem = p;
  return false;
}

/** A varint of 64 bits, read as a signed number. Sets `problem` on failure. */
function varint64(b: Uint8Array, end: number): number {
  let low = 0;
  let high = 0;
  for (let i = 0; i < 10; i++) {
    if (pos >= end) return fail(DecodeProblem.EOF);
    const byte = b[pos++] as number;
    if (i === 9 && byte > 1) return fail(DecodeProblem.VARINT);
    if (i < 4) low += (byte & 0x7f) * 2 ** (7 * i);
    else if (i === 4) {
      low += (byte & 0x0f) * 2 ** 28;
      high += (byte & 0x7f) >>> 4;
    } else high += (byte & 0x7f) * 2 ** (7 * i - 32);
    if (byte < 0x80) return (high | 0) * 2 ** 32 + low;
  }
  return fail(DecodeProblem.VARINT);
}

/** A length-delimited field's end; -1 on failure. */
function lengthDelimited(b: Uint8Array, end: number): number {
  const length = varint32(b, end);
  if (length < 0) return -1;
  if (length > end - pos) return fail(DecodeProblem.EOF);
  return pos + length;
}

/** Steps over a field of any wire type; false on failure. */
function skip(b: Uint8Array, end: number, tag: number, depth: number): boolean {
  switch (tag & 7) {
    case 0:
      varint64(b, end);
      return problem === undefined;
    case 1:
      return step(8, end);
    case 2: {
      const stop = lengthDelimited(b, end);
      if (stop < 0) return false;
      pos = stop;
      return true;
    }
    case 3:
      for (;;) {
        const inner = varint32(b, end);
        if (inner < 0) return false;
        if ((inner & 7) === 4) return true;
        if (depth >= MAX_GROUP_DEPTH || inner < 8) return no(DecodeProblem.TAG);
        if (!skip(b, end, inner, depth + 1)) return false;
      }
    case 5:
      return step(4, end);
    default:
      return no(DecodeProblem.TAG);
  }
}

function step(n: number, end: number): boolean {
  if (n > end - pos) return no(DecodeProblem.EOF);
  pos += n;
  return true;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

function isAscii(b: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if ((b[i] as number) >= 0x80) return false;
  return true;
}

function isUtf8(b: Uint8Array, start: number, end: number): boolean {
  if (isAscii(b, start, end)) return true;
  try {
    utf8.decode(b.subarray(start, end));
    return true;
  } catch {
    return no(DecodeProblem.UTF8);
  }
}

/** Text of bytes already found to be UTF-8. */
export function text(b: Uint8Array, start: number, end: number): string {
  return utf8.decode(b.subarray(start, end));
}

/**
 * Reads a Request in `b[start..end)` into `out`. Returns what is wrong with it, or undefined.
 * As in every protobuf: a repeated scalar's last value wins, unknown fields and wrong wire types are stepped over.
 */
export function decodeRequest(b: Uint8Array, start: number, end: number, out: RequestView): DecodeProblem | undefined {
  problem = undefined;
  pos = start;
  out.serviceStart = out.serviceEnd = out.methodStart = out.methodEnd = out.payloadStart = out.payloadEnd = 0;
  out.timeoutNano = 0;
  out.metadataStart = -1;
  while (pos < end) {
    const at = pos;
    const tag = varint32(b, end);
    if (tag < 0) return problem;
    switch (tag) {
      case 0x0a:
      case 0x12:
      case 0x1a:
      case 0x2a: {
        const stop = lengthDelimited(b, end);
        if (stop < 0) return problem;
        if (tag === 0x0a) {
          if (!isUtf8(b, pos, stop)) return problem;
          out.serviceStart = pos;
          out.serviceEnd = stop;
        } else if (tag === 0x12) {
          if (!isUtf8(b, pos, stop)) return problem;
          out.methodStart = pos;
          out.methodEnd = stop;
        } else if (tag === 0x1a) {
          out.payloadStart = pos;
          out.payloadEnd = stop;
        } else {
          if (out.metadataStart < 0) out.metadataStart = at;
          if (!checkKeyValue(b, stop)) return problem;
        }
        pos = stop;
        break;
      }
      case 0x20:
        out.timeoutNano = varint64(b, end);
        if (problem !== undefined) return problem;
        break;
      default:
        if (tag < 8) return DecodeProblem.TAG;
        if (!skip(b, end, tag, 0)) return problem;
    }
  }
  return undefined;
}

/** Checks a KeyValue at `pos` without making strings, so that reading it later cannot fail. */
function checkKeyValue(b: Uint8Array, end: number): boolean {
  while (pos < end) {
    const tag = varint32(b, end);
    if (tag < 0) return false;
    if (tag === 0x0a || tag === 0x12) {
      const stop = lengthDelimited(b, end);
      if (stop < 0 || !isUtf8(b, pos, stop)) return false;
      pos = stop;
    } else if (tag < 8) return no(DecodeProblem.TAG);
    else if (!skip(b, end, tag, 0)) return false;
  }
  return true;
}

/** Metadata: keys as sent, values in order. */
export type Metadata = ReadonlyMap<string, readonly string[]>;

/** The metadata of a Request that {@link decodeRequest} accepted; `start` is its `metadataStart`. */
export function decodeMetadata(b: Uint8Array, start: number, end: number): Metadata {
  const out = new Map<string, string[]>();
  problem = undefined;
  pos = start;
  while (pos < end) {
    const tag = varint32(b, end);
    if (tag !== 0x2a) {
      if (!skip(b, end, tag, 0)) break;
      continue;
    }
    const stop = lengthDelimited(b, end);
    let key = "";
    let value = "";
    while (pos < stop) {
      const inner = varint32(b, stop);
      if (inner === 0x0a || inner === 0x12) {
        const innerStop = lengthDelimited(b, stop);
        if (inner === 0x0a) key = text(b, pos, innerStop);
        else value = text(b, pos, innerStop);
        pos = innerStop;
      } else skip(b, stop, inner, 0);
    }
    const values = out.get(key);
    if (values === undefined) out.set(key, [value]);
    else values.push(value);
  }
  return out;
}

/** Reads a Response. Returns a text instead when the bytes are not one. */
export function decodeResponse(b: Uint8Array, start: number, end: number): ResponseView | DecodeProblem {
  problem = undefined;
  pos = start;
  const out: ResponseView = { code: 0, message: "", payload: b.subarray(start, start), details: [] };
  while (pos < end) {
    const tag = varint32(b, end);
    if (tag < 0) return problem as unknown as DecodeProblem;
    if (tag === 0x0a || tag === 0x12) {
      const stop = lengthDelimited(b, end);
      if (stop < 0 || (tag === 0x0a && !decodeStatus(b, stop, out))) return problem as unknown as DecodeProblem;
      if (tag === 0x12) out.payload = b.subarray(pos, stop);
      pos = stop;
    } else if (tag < 8) return DecodeProblem.TAG;
    else if (!skip(b, end, tag, 0)) return problem as unknown as DecodeProblem;
  }
  return out;
}

function decodeStatus(b: Uint8Array, end: number, out: ResponseView): boolean {
  while (pos < end) {
    const tag = varint32(b, end);
    if (tag < 0) return false;
    if (tag === 0x08) {
      out.code = varint64(b, end) | 0;
      if (problem !== undefined) return false;
    } else if (tag === 0x12) {
      const stop = lengthDelimited(b, end);
      if (stop < 0 || !isUtf8(b, pos, stop)) return false;
      out.message = text(b, pos, stop);
      pos = stop;
    } else if (tag === 0x1a) {
      const stop = lengthDelimited(b, end);
      if (stop < 0) return false;
      if (out.details.length < MAX_DETAILS) out.details.push(b.subarray(pos, stop));
      pos = stop;
    } else if (tag < 8) return no(DecodeProblem.TAG);
    else if (!skip(b, end, tag, 0)) return false;
  }
  return true;
}

/** Bytes that a varint of this value takes; up to 2^53. */
export function varintLength(value: number): number {
  let n = 1;
  for (let v = value; v >= 0x80; v = Math.floor(v / 128)) n++;
  return n;
}

/** Writes a varint (0 to 2^53) and returns the next offset. */
export function writeVarint(b: Uint8Array, at: number, value: number): number {
  let v = value;
  let i = at;
  while (v >= 0x80) {
    b[i++] = (v % 128) | 0x80;
    v = Math.floor(v / 128);
  }
  b[i++] = v;
  return i;
}

/** A Response that carries a failure: Status in field 1, no payload. `details` are encoded messages. */
export function encodeStatusResponse(code: number, message: string, details: readonly Uint8Array[] = []): Uint8Array {
  const bytes = encoder.encode(message);
  const text = bytes.length === 0 ? 0 : 1 + varintLength(bytes.length) + bytes.length;
  const more = concat(details.map((detail) => bytesField(0x1a, detail)));
  const status = 1 + varintLength(code) + text + more.length;
  const out = new Uint8Array(1 + varintLength(status) + status);
  out[0] = 0x0a;
  let at = writeVarint(out, 1, status);
  out[at++] = 0x08;
  at = writeVarint(out, at, code);
  if (text > 0) {
    out[at++] = 0x12;
    at = writeVarint(out, at, bytes.length);
    out.set(bytes, at);
    at += bytes.length;
  }
  out.set(more, at);
  return out;
}

/** Fields 1 and 2 of a Request; made once for each method. */
export function encodeRoute(service: string, method: string): Uint8Array {
  return concat([stringField(0x0a, service), stringField(0x12, method)]);
}

/** The fields of a Request after its payload: the time-out and the metadata. */
export function encodeRequestTail(
  timeoutNano: number,
  metadata: ReadonlyMap<string, readonly string[]> | undefined,
): Uint8Array {
  const parts: Uint8Array[] = [];
  if (timeoutNano > 0) {
    const field = new Uint8Array(1 + varintLength(timeoutNano));
    field[0] = 0x20;
    writeVarint(field, 1, timeoutNano);
    parts.push(field);
  }
  for (const [key, values] of metadata ?? []) {
    for (const value of values)
      parts.push(bytesField(0x2a, concat([stringField(0x0a, key), stringField(0x12, value)])));
  }
  return concat(parts);
}

function stringField(tag: number, value: string): Uint8Array {
  return bytesField(tag, encoder.encode(value));
}

function bytesField(tag: number, bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(1 + varintLength(bytes.length) + bytes.length);
  out[0] = tag;
  out.set(bytes, writeVarint(out, 1, bytes.length));
  return out;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    out.set(p, at);
    at += p.length;
  }
  return out;
}
