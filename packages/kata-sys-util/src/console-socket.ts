import { chmodSync, closeSync, unlinkSync } from "node:fs";

import { Socket } from "./constants.ts";
import { Errno } from "./errno.ts";
import { hasCode, SysError } from "./error.ts";
import { ptyNumber } from "./pty.ts";
import type { DescriptorCalls, SocketCalls } from "./syscalls.ts";

/** A runtime sends the terminal's name along; runc allows 4096 bytes for it. */
const MAX_NAME = 4096;
/** One descriptor is right; a few more are received so that they can be closed rather than leak. */
const RECEIVED_FDS = 8;

type Calls = SocketCalls & DescriptorCalls;

/**
 * The socket that `runc --console-socket` (and crun's) connects to and sends the master of the container's terminal
 * over. Takes one connection and one descriptor; what is not exactly that is closed and refused.
 */
export class ConsoleSocket implements Disposable {
  readonly path: string;
  readonly #sys: Calls;
  readonly #listener: number;
  #connection: number | undefined;
  #closed = false;

  private constructor(sys: Calls, path: string, listener: number) {
    this.#sys = sys;
    this.path = path;
    this.#listener = listener;
  }

  /** Binds the socket, mode 0600. The path must be free and at most 107 bytes long. */
  static listen(path: string, sys: Calls): ConsoleSocket {
    const listener = sys.socket(Socket.AF_UNIX, Socket.STREAM);
    try {
      sys.unixBind(listener, path);
      chmodSync(path, 0o600);
      sys.listen(listener, 1);
      return new ConsoleSocket(sys, path, listener);
    } catch (error) {
      closeSync(listener);
      throw error;
    }
  }

  /**
   * Waits for the runtime and returns the terminal's master, CLOEXEC, the caller's to close. EBADMSG if what came is not
   * one descriptor, ENOTTY if it is no such master, ECONNRESET if the runtime went away first.
   */
  async receive(signal?: AbortSignal): Promise<number> {
    const connection = await this.#wait(this.#listener, signal, () => this.#sys.accept(this.#listener));
    this.#connection = connection;
    let received = 0;
    const fds = await this.#wait(connection, signal, () => {
      // Bytes may come before the descriptor, in as many pieces as the sender likes, but not more than a name's.
      for (;;) {
        const message = this.#sys.recvmsg(connection, MAX_NAME, RECEIVED_FDS);
        if (message === undefined) return undefined;
        received += message.data.length;
        if (message.fds.length > 0) return message.fds;
        if (message.data.length === 0) throw SysError.fromErrno(Errno.ECONNRESET, "recvmsg", this.path);
        if (received > MAX_NAME || message.truncated) throw this.#refusal("no descriptor");
      }
    });
    const [master, ...others] = fds;
    try {
      if (master === undefined || others.length > 0) throw this.#refusal(`${fds.length} descriptors`);
      ptyNumber(this.#sys, master);
      return master;
    } catch (error) {
      for (const fd of fds) closeSync(fd);
      throw error;
    }
  }

  /** Closes the socket and removes its file. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#connection !== undefined) closeSync(this.#connection);
    closeSync(this.#listener);
    try {
      unlinkSync(this.path);
    } catch (error) {
      if (!hasCode(error, "ENOENT")) throw error;
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #refusal(got: string): SysError {
    const message = `${this.path}: expected one terminal, got ${got}`;
    return new SysError("EBADMSG", Errno.EBADMSG, "recvmsg", message, { path: this.path });
  }

  /** Tries `attempt` now and whenever the descriptor becomes readable, until it answers. */
  #wait<T>(fd: number, signal: AbortSignal | undefined, attempt: () => T | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      const watch = this.#sys.poll(fd, { readable: true }, () => {
        step();
      });
      const finish = (): void => {
        watch.close();
        signal?.removeEventListener("abort", abandon);
      };
      const abandon = (): void => {
        finish();
        reject(signal?.reason as Error);
      };
      const step = (): void => {
        try {
          const result = attempt();
          if (result === undefined) return;
          finish();
          resolve(result);
        } catch (error) {
          finish();
          reject(error);
        }
      };
      signal?.addEventListener("abort", abandon, { once: true });
      if (signal?.aborted === true) abandon();
      else step();
    });
  }
}
