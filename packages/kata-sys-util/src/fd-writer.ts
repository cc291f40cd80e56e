import { closeSync } from "node:fs";

import { Errno } from "./errno.ts";
import { SysError } from "./error.ts";
import type { DescriptorCalls, Watch } from "./syscalls.ts";

/** A write of nothing is answered when those before it are. */
const NOTHING = new Uint8Array(0);

interface Request {
  rest: Uint8Array;
  settle(): void;
  fail(error: unknown): void;
}

/**
 * Writes to a pipe or a terminal; a write is answered when the kernel has all of it, which is the backpressure. Owns the
 * descriptor and makes it non-blocking; uses no thread.
 */
export class FdWriter implements Disposable {
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
   * Writes all of `data`, after the writes before it. Fails with EPIPE if nobody can read any more, EBADF once closed.
   * With `signal` a write is given up where it stands: bytes that the kernel took are written.
   */
  write(data: Uint8Array, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
    return new Promise((resolve, reject) => {
      const abandon = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(request), 1);
        reject(signal?.reason as Error);
        if (this.#waiting.length === 0) this.#pause();
      };
      const request: Request = {
        rest: data,
        settle: () => {
          signal?.removeEventListener("abort", abandon);
          resolve();
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

  /** Resolves once all writes so far are in the kernel or have failed, then closes: end of input for the reader. */
  async end(): Promise<void> {
    if (this.#closed) return;
    try {
      await this.write(NOTHING);
    } catch {
      // Closed by another hand meanwhile: what this is for.
    }
    this.close();
  }

  /** Closes the descriptor; writes that wait fail with EBADF. */
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
      try {
        if (this.#closed) throw SysError.fromErrno(Errno.EBADF, "write");
        if (!this.#writeNow(request)) {
          this.#resume();
          return;
        }
        this.#waiting.shift();
        request.settle();
      } catch (error) {
        this.#waiting.shift();
        request.fail(error);
      }
    }
    this.#pause();
  }

  /** True once all of it is written. */
  #writeNow(request: Request): boolean {
    while (request.rest.length > 0) {
      const count = this.#sys.write(this.fd, request.rest);
      if (count === undefined) return false;
      request.rest = request.rest.subarray(count);
    }
    return true;
  }

  #resume(): void {
    if (this.#watching) return;
    this.#watching = true;
    if (this.#watch !== undefined) {
      this.#watch.start();
      return;
    }
    this.#watch = this.#sys.poll(this.fd, { writable: true }, () => {
      // Also on an error of the poll: a pipe without a reader shows as one, and the write says EPIPE.
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
