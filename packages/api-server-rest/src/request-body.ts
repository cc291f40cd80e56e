import type { IncomingMessage } from "node:http";
import { finished } from "node:stream";

import { RestError } from "./error.ts";
import { MAX_BODY } from "./reply.ts";

/** The body of a request. One that is too long leaves the connection whole, so that it can be answered. */
export class RequestBody {
  readonly #incoming: IncomingMessage;
  #tooLong = false;

  constructor(incoming: IncomingMessage) {
    this.#incoming = incoming;
  }

  /** Whether a read found more than {@link MAX_BODY} bytes. The rest is passed over as it comes. */
  get tooLong(): boolean {
    return this.#tooLong;
  }

  /** At most {@link MAX_BODY} bytes. Rejects with RestError `request`, also when the peer goes away before the end. */
  async read(): Promise<Buffer> {
    // Node lets no length through that is not a number.
    if (Number(this.#incoming.headers["content-length"] ?? 0) > MAX_BODY) throw this.#refused();
    const parts: Buffer[] = [];
    let length = 0;
    return await new Promise((resolve, reject) => {
      const take = (part: Buffer): void => {
        length += part.length;
        if (length <= MAX_BODY) {
          parts.push(part);
          return;
        }
        this.#incoming.off("data", take);
        reject(this.#refused());
      };
      this.#incoming.on("data", take);
      finished(this.#incoming, (cause) => {
        if (cause) reject(new RestError("request", "the request ended before its body did", { cause }));
        else resolve(Buffer.concat(parts, length));
      });
    });
  }

  /** Calls back when nothing more comes: the rest was passed over, or the peer is gone. */
  onceOver(callback: () => void): void {
    finished(this.#incoming, callback);
  }

  #refused(): RestError {
    this.#tooLong = true;
    this.#incoming.resume();
    return new RestError("request", `Illegal AAEL eventry format: expected at most ${MAX_BODY} bytes`);
  }
}
