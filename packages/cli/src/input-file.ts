import { readFileSync } from "node:fs";
import { buffer, text } from "node:stream/consumers";

import type { Context } from "./context.ts";
import { NacreError } from "./error.ts";

/** The text of a file, or of standard input for `-`. Throws NacreError `input`. */
export async function readInput(path: string, context: Pick<Context, "stdin">): Promise<string> {
  if (path === "-") return await text(context.stdin);
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new NacreError("input", "a file cannot be read", { cause });
  }
}

/** The bytes of a file, or of standard input for `-`. Throws NacreError `input`. */
export async function readInputBytes(path: string, context: Pick<Context, "stdin">): Promise<Buffer> {
  if (path === "-") return await buffer(context.stdin);
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new NacreError("input", "a file cannot be read", { cause });
  }
}
