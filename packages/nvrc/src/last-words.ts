import type { Readable } from "node:stream";

import { plain } from "./log.ts";

/** As much of a program's output as helps to see why it ended, and fits a line of the kernel's log. */
const KEPT = 300;

/** Reads a program's output, passes it on, and keeps the end: what it said last is mostly why it ended. */
export class LastWords {
  #kept = "";

  constructor(streams: readonly (Readable | null)[], pass: (text: string) => void) {
    for (const stream of streams) {
      stream?.setEncoding("utf8").on("data", (text: string) => {
        pass(text);
        this.#kept = (this.#kept + text).slice(-KEPT);
      });
    }
  }

  /** As the rest of a message: empty, or a colon and the words on one line. */
  toString(): string {
    const words = plain(this.#kept).trim();
    return words === "" ? "" : `: ${words}`;
  }
}
