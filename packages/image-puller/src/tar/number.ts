import { PullError } from "../error.ts";

/**
 * Reads a numeric header field: octal text between optional spaces and NULs, or base-256 (GNU) when the first bit is set.
 *
 * @throws PullError `tar` when it is neither, or larger than a safe integer.
 */
export function parseNumber(what: string, field: Uint8Array): number {
  const first = field[0] ?? 0;
  const value = (first & 0x80) === 0 ? parseOctal(field) : parseBase256(field);
  if (value === undefined || !Number.isSafeInteger(value)) {
    throw new PullError("tar", `tar header: ${what} is not a number`);
  }
  return value;
}

function parseOctal(field: Uint8Array): number | undefined {
  let at = 0;
  let end = field.length;
  while (at < end && (field[at] === 0x20 || field[at] === 0)) at += 1;
  while (end > at && (field[end - 1] === 0x20 || field[end - 1] === 0)) end -= 1;
  let value = 0;
  for (; at < end; at += 1) {
    const digit = (field[at] ?? 0) - 0x30;
    if (digit < 0 || digit > 7) return undefined;
    value = value * 8 + digit;
  }
  return value;
}

/** Two's complement over all bits but the first, most significant byte first. */
function parseBase256(field: Uint8Array): number | undefined {
  let value = BigInt((field[0] ?? 0) & 0x7f);
  for (const byte of field.subarray(1)) value = (value << 8n) | BigInt(byte);
  const bits = BigInt(field.length * 8 - 1);
  const signed = BigInt.asIntN(Number(bits), value);
  const number = Number(signed);
  return Number.isSafeInteger(number) ? number : undefined;
}
