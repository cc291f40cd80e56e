import { parseIp, parseIpv4, parseIpv6, type Prefix } from "@nacre/kata-sys-util";
import type { types } from "@nacre/protocols";

import { parseNumber } from "./texts.ts";

/** An address of an interface: text and prefix length in decimal. Throws Error in the real agent's words. */
export function parseInterfaceAddress({ address, mask }: types.IPAddress): Prefix {
  const bytes = parseIp(address);
  if (bytes === undefined) throw new Error("invalid IP address syntax");
  const length = parseNumber(mask, 10, 0xff);
  if (length > bytes.length * 8) throw new Error("invalid prefix");
  return { address: bytes, length };
}

/**
 * `ADDRESS`, `ADDRESS/LENGTH` or, for IPv4, `ADDRESS/MASK`; bits below the prefix are kept. Throws Error in the real
 * agent's words.
 */
export function parseNetwork(text: string, version: 4 | 6): Prefix {
  const [host = "", prefix, more] = text.split("/");
  if (more !== undefined) throw new Error(`invalid address: ${text}`);
  const address = version === 4 ? parseIpv4(host) : parseIpv6(host);
  if (address === undefined) throw new Error(`invalid address: ${host}`);
  const bits = address.length * 8;
  return { address, length: prefix === undefined ? bits : prefixLength(prefix, bits) };
}

export function parseGateway(text: string, version: 4 | 6): Buffer {
  const address = version === 4 ? parseIpv4(text) : parseIpv6(text);
  if (address === undefined) throw new Error(`invalid IPv${version} address syntax`);
  return address;
}

function prefixLength(text: string, bits: number): number {
  const mask = bits === 32 ? parseIpv4(text)?.readUInt32BE(0) : undefined;
  if (mask !== undefined) {
    const length = Math.clz32(~mask);
    if ((length === 0 ? 0 : (0xffff_ffff << (32 - length)) >>> 0) !== mask) throw new Error("invalid prefix");
    return length;
  }
  const length = /^\+?[0-9]{1,4}$/.test(text) ? Number(text) : Number.NaN;
  if (!(length <= bits)) throw new Error("invalid prefix");
  return length;
}
