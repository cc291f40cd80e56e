import { parseNumber } from "./texts.ts";

const BYTES = 6;

/** `02:00:00:00:00:01` as bytes. Throws Error in the real agent's words. */
export function parseMac(text: string): Buffer {
  const parts = text.split(":");
  // What follows the sixth colon belongs to the sixth number, and makes it none.
  const last = parts.slice(BYTES - 1).join(":");
  const numbers = parts.length < BYTES ? parts : [...parts.slice(0, BYTES - 1), last];
  const bytes = numbers.map((part) => parseNumber(part, 16, 0xff));
  if (bytes.length < BYTES) throw new Error(`Invalid MAC address ${text}`);
  return Buffer.from(bytes);
}

export function formatMac(address: Uint8Array): string {
  return Array.from(address, (byte) => byte.toString(16).toUpperCase().padStart(2, "0")).join(":");
}
