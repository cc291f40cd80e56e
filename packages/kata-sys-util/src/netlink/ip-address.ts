/**
 * The bytes of an IP address in its usual text form: 4 for IPv4, 16 for IPv6, undefined for anything else. Strict: four
 * decimal numbers without leading zeros, no zones, `::` once at most.
 */
export function parseIp(text: string): Buffer | undefined {
  return parseIpv4(text) ?? parseIpv6(text);
}

export function parseIpv4(text: string): Buffer | undefined {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1);
  if (parts?.every((part) => Number(part) <= 255 && String(Number(part)) === part) !== true) return undefined;
  return Buffer.from(parts.map(Number));
}

/** Longest text: eight groups, the last two as IPv4. */
const MAX_TEXT = 45;

export function parseIpv6(text: string): Buffer | undefined {
  if (text.length > MAX_TEXT || !text.includes(":")) return undefined;
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half, index) => groups(half, index === halves.length - 1));
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  const given = head.length + (tail?.length ?? 0);
  // `::` stands for one group of zeros or more.
  if (halves.length === 1 ? given !== 16 : given > 14) return undefined;
  return Buffer.concat([head, Buffer.alloc(16 - given), ...(tail === undefined ? [] : [tail])]);
}

function groups(half: string, last: boolean): Buffer | undefined {
  if (half === "") return Buffer.alloc(0);
  const parts = half.split(":");
  const dotted = last && (parts.at(-1)?.includes(".") ?? false) ? parseIpv4(parts.pop() ?? "") : Buffer.alloc(0);
  if (dotted === undefined || !parts.every((part) => /^[0-9a-fA-F]{1,4}$/.test(part))) return undefined;
  const bytes = Buffer.alloc(parts.length * 2);
  for (const [index, part] of parts.entries()) bytes.writeUInt16BE(Number.parseInt(part, 16), index * 2);
  return Buffer.concat([bytes, dotted]);
}

/** The text of an address of 4 or 16 bytes as RFC 5952 has it; undefined for another length. */
export function formatIp(bytes: Uint8Array): string | undefined {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length !== 16) return undefined;
  const words = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0));
  const mapped = words.slice(0, 5).every((word) => word === 0) && words[5] === 0xffff;
  if (mapped) return `::ffff:${bytes.subarray(12).join(".")}`;
  const { start, length } = longestZeros(words);
  const hex = (from: number, to: number): string =>
    words
      .slice(from, to)
      .map((word) => word.toString(16))
      .join(":");
  return length < 2 ? hex(0, 8) : `${hex(0, start)}::${hex(start + length, 8)}`;
}

function longestZeros(words: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < words.length; start += 1) {
    let length = 0;
    while (words[start + length] === 0) length += 1;
    if (length > best.length) best = { start, length };
  }
  return best;
}
