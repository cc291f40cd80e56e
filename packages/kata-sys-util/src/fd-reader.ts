import { closeSync } from "node:fs";

import { Errno } from "./errno.ts";
import { hasCode, SysError } from "./error.ts";
import type { DescriptorCalls, Watch } from "./syscalls.ts";

/** What one read returns at most, whatever is asked for: a pipe holds as much (pipe(7)). */
export const MAX_READ = 65_536;

/** Reads land here and leave as a copy of their size, so that a waiting reader holds no memory of its own. */
let scratch: Buffer | undefined;

interface Request {
  readonly max: number;
  settle(result: Buffer | null): void;
  fail(error: unknown): void;
}

/**
 * Reads a pipe or a terminal when asked and only then: what nobody reads stays in the kernel, and the writer waits. Owns
 * the descriptor and makes it non-blocking; uses no thread.
 */
export class FdReader implements Disposable {
  readonly fd: number;
  readonly #sys: DescriptorCalls;
  readonly #waiting: Request[] = [];
  #watch: Watch | undefined;
  #watching = false;
  #closed = false;

  constructor(fd: number, sys: DescriptorCalls) {
    this.fd = fd;
    this.#sys = sys;
    sys.setNonBlocking(fd, true);
  }

  /**
   * The next bytes, at least one and at most `max` (and {@link MAX_READ}); null at the end, and once closed. Reads that
   * overlap are answered in order. With `signal` a read is given up and no byte is lost.
   */
  read(max: number, signal?: AbortSignal): Promise<Buffer | null> {
    if (!Number.isInteger(max) || max < 1) {
      return Promise.reject(new SysError("EINVAL", Errno.EINVAL, "read", `read: expected 1 byte or more, got ${max}`));
    }
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
    return new Promise((resolve, reject) => {
      const abandon = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(request), 1);
        if (this.#waiting.length === 0) this.#pause();
        reject(signal?.reason as Error);
      };
      const request: Request = {
        max,
        settle: (result) => {
          signal?.removeEventListener("abort", abandon);
          resolve(result);
        },
        fail: (error) => {
          signal?.removeEventListener("abort", abandon);
          reject(error);
        },
      };
      signal?.addEventListener("abort", abandon, { once: true });
      this.#waiting.push(request);
      if (this.#waiting.length === 1) this.#serve();
    });
  }

  /** Closes the descriptor; reads that wait get null. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#watch?.close();
    closeSync(this.fd);
    this.#serve();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #serve(): void {
    for (let request = this.#waiting[0]; request !== undefined; request = this.#waiting[0]) {
      let result: Buffer | null | undefined;
      try {
        result = this.#closed ? null : this.#readNow(request.max);
      } catch (error) {
        this.#waiting.shift();
        request.fail(error);
        continue;
      }
      if (result === undefined) {
        this.#resume();
        return;
      }
      this.#waiting.shift();
      request.settle(result);
    }
    this.#pause();
  }

  #readNow(max: number): Buffer | null | undefined {
    scratch ??= Buffer.allocUnsafeSlow(MAX_READ);
    try {
      const count = this.#sys.read(this.fd, max < MAX_READ ? scratch.subarray(0, max) : scratch);
      if (count === undefined) return undefined;
      return count === 0 ? null : Buffer.from(scratch.subarray(0, count));
    } catch (error) {
      // How the master of a pseudo-terminal says that the last slave is closed.
      if (hasCode(error, "EIO")) return null;
      throw error;
    }
  }

  #resume(): void {
    if (this.#watching) return;
    this.#watching = true;
    if (this.#watch !== undefined) {
      this.#watch.start();
      return;
    }
    this.#watch = this.#sys.poll(this.fd, { readable: true }, () => {
      // An error of the poll is the descriptor's: the read will say which.
      this.#watching = false;
      this.#watch?.stop();
      this.#serve();
    });
  }

  #pause(): void {
    if (!this.#watching || this.#closed) return;
    this.#watching = false;
    this.#watch?.stop();
  }
}
