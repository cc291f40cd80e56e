import { NacreError } from "../../error.ts";

/** Longest message that is taken from QEMU, in bytes: what is asked of it here is answered in a few hundred. */
export const MAX_QMP_LINE: number = 256 * 1024;

export type QmpMessage = Readonly<Record<string, unknown>>;

/** Bytes of QEMU's machine protocol to its messages: one JSON object a line. Throws `guest` for anything else. */
export class QmpLines {
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Uint8Array): readonly QmpMessage[] {
    const messages: QmpMessage[] = [];
    let start = 0;
    for (let at = chunk.indexOf(0x0a); at >= 0; at = chunk.indexOf(0x0a, start)) {
      this.#keep(chunk.subarray(start, at));
      const line = this.#rest.toString("utf8").trim();
      this.#rest = Buffer.alloc(0);
      if (line !== "") messages.push(parseMessage(line));
      start = at + 1;
    }
    this.#keep(chunk.subarray(start));
    return messages;
  }

  #keep(bytes: Uint8Array): void {
    const length = this.#rest.length + bytes.length;
    if (length > MAX_QMP_LINE) {
      throw new NacreError("guest", `QMP: expected a line of at most ${MAX_QMP_LINE} bytes, got ${length}`);
    }
    if (bytes.length > 0) this.#rest = Buffer.concat([this.#rest, bytes]);
  }
}

function parseMessage(line: string): QmpMessage {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new NacreError("guest", "QMP: expected JSON", { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new NacreError("guest", "QMP: expected an object");
  }
  return value as QmpMessage;
}
