import { parseNumber } from "./texts.ts";

/** Where a device is plugged (section 3.3): the root's bus in hex, and a slot for each bridge and the device itself. */
export interface PciPath {
  readonly root: string;
  /** `02.0`: slot and function. */
  readonly slots: readonly string[];
}

/** A first component of this bus number or above is a root of its own (a PXB expander), where others follow. */
const EXPANDER_BUS_MIN = 0x20;
const DEFAULT_ROOT = "00";
const SLOT_MAX = 0x1f;
const FUNCTION_MAX = 0x7;
/** A path through more bridges than this is none: PCI has 256 buses. */
const MAX_DEPTH = 256;

/** `slot/slot`, in hex, each with an optional `.function`. Throws Error in the real agent's words. */
export function parsePciPath(text: string): PciPath {
  const parts = text.split("/");
  const [first = "", ...rest] = parts;
  const expander = parts.length >= 3 && isExpander(first);
  try {
    if (parts.length > MAX_DEPTH) throw new Error(`expected at most ${MAX_DEPTH} elements`);
    return {
      root: expander ? first : DEFAULT_ROOT,
      slots: (expander ? rest : parts).map(parseSlot),
    };
  } catch (cause) {
    throw new Error(`Failed to parse PCI path from ${expander ? "NUMA path " : ""}'${text}'`, { cause });
  }
}

function isExpander(text: string): boolean {
  return /^[0-9a-fA-F]{2}$/.test(text) && Number.parseInt(text, 16) >= EXPANDER_BUS_MIN;
}

function parseSlot(text: string): string {
  const [slot = "", fn, more] = text.split(".");
  if (more !== undefined) throw new Error(`PCI slot/function ${text} should have the format SS.F`);
  const numbers = [inRange("slot", slot, SLOT_MAX), fn === undefined ? 0 : inRange("function", fn, FUNCTION_MAX)];
  return `${(numbers[0] ?? 0).toString(16).padStart(2, "0")}.${(numbers[1] ?? 0).toString(16)}`;
}

function inRange(what: string, text: string, max: number): number {
  const value = parseNumber(text, 16, Number.MAX_SAFE_INTEGER);
  if (value > max) throw new Error(`PCI ${what} ${value} should be in range [0..0x${max.toString(16)}]`);
  return value;
}
