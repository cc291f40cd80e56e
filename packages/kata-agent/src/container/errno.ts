import { constants } from "node:os";
import { getSystemErrorMap } from "node:util";

/**
 * A system error as the real agent words it, `No such file or directory (os error 2)`, where the number is known; the
 * error's own message otherwise.
 */
export function describeErrno(error: unknown): string {
  const code = errnoCode(error);
  const number = code === undefined ? undefined : (constants.errno as Record<string, number>)[code];
  if (number === undefined) return error instanceof Error ? error.message : String(error);
  const text = TEXTS[number] ?? getSystemErrorMap().get(-number)?.[1] ?? code;
  return `${text} (os error ${number})`;
}

/** The symbolic name of a system error, or undefined when it is none. */
export function errnoCode(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === "string" && code in constants.errno ? code : undefined;
}

/** strerror(3) of the C library for the numbers whose text callers may see; libuv words them differently. */
const TEXTS: Readonly<Record<number, string>> = {
  1: "Operation not permitted",
  2: "No such file or directory",
  3: "No such process",
  5: "Input/output error",
  12: "Cannot allocate memory",
  13: "Permission denied",
  16: "Device or resource busy",
  17: "File exists",
  19: "No such device",
  20: "Not a directory",
  22: "Invalid argument",
  28: "No space left on device",
  32: "Broken pipe",
  34: "Numerical result out of range",
  36: "File name too long",
  95: "Operation not supported",
  97: "Address family not supported by protocol",
  99: "Cannot assign requested address",
  100: "Network is down",
  101: "Network is unreachable",
  113: "No route to host",
};
