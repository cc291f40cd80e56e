import { parseAttributes } from "./attributes.ts";
import { AckAttribute, NetlinkFlag } from "./constants.ts";
import { align, malformed, readCText } from "./layout.ts";

/** A netlink message without its header's length (netlink(7)). Numbers are in the machine's order, little-endian. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** Who sent it, by its own word; the socket's sender address is what counts. */
  readonly port: number;
  readonly payload: Buffer;
}

/** What an NLMSG_ERROR says. */
export interface NetlinkAck {
  /** 0 for success, else a positive error number. */
  readonly errno: number;
  /** The kernel's own words about a refusal (extended acknowledgement). */
  readonly text: string | undefined;
}

export const HEADER_SIZE = 16;

export function encodeMessage(message: NetlinkMessage): Buffer {
  const bytes = Buffer.alloc(HEADER_SIZE + message.payload.length);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt16LE(message.type, 4);
  bytes.writeUInt16LE(message.flags, 6);
  bytes.writeUInt32LE(message.sequence, 8);
  bytes.writeUInt32LE(message.port, 12);
  message.payload.copy(bytes, HEADER_SIZE);
  return bytes;
}

/** The messages of one datagram; payloads are views of it. Throws SysError `parse` where one does not fit. */
export function parseMessages(datagram: Buffer): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  for (let offset = 0; offset < datagram.length;) {
    if (datagram.length - offset < HEADER_SIZE) throw malformed("a header", datagram.length - offset);
    const length = datagram.readUInt32LE(offset);
    if (length < HEADER_SIZE || length > datagram.length - offset) throw malformed("a message's length", length);
    messages.push({
      type: datagram.readUInt16LE(offset + 4),
      flags: datagram.readUInt16LE(offset + 6),
      sequence: datagram.readUInt32LE(offset + 8),
      port: datagram.readUInt32LE(offset + 12),
      payload: datagram.subarray(offset + HEADER_SIZE, offset + length),
    });
    offset += align(length);
  }
  return messages;
}

/** Reads the payload of an NLMSG_ERROR, or of an NLMSG_DONE, which begins alike. Throws SysError `parse`. */
export function parseAck(message: NetlinkMessage): NetlinkAck {
  const { payload, flags } = message;
  if (payload.length < 4) throw malformed("an error number", payload.length);
  return { errno: 0 - payload.readInt32LE(0), text: ackText(payload, flags) };
}

/** Behind the number lies the request's header, and the whole request unless it was left out; then attributes. */
function ackText(payload: Buffer, flags: number): string | undefined {
  if ((flags & NetlinkFlag.ACK_TLVS) === 0) return undefined;
  if (payload.length < 4 + HEADER_SIZE) throw malformed("the request's header", payload.length);
  const request = (flags & NetlinkFlag.CAPPED) === 0 ? payload.readUInt32LE(4) : HEADER_SIZE;
  const start = 4 + align(request);
  if (request < HEADER_SIZE || start > payload.length) throw malformed("the request's length", request);
  const text = parseAttributes(payload.subarray(start)).find(({ type }) => type === AckAttribute.NLMSGERR_ATTR_MSG);
  return text === undefined ? undefined : readCText(text.value);
}
