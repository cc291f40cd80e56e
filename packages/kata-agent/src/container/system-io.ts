import { closeSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { ConsoleSocket, openPipeReader, openPipeWriter, openPty, type Pty, type Syscalls } from "@nacre/kata-sys-util";
import type { IoFactory, PreparedIo, ProcessStreams } from "./ports.ts";

/**
 * Pipes and terminals of the real kernel. Terminals arrive on sockets in `socketDirectory`, which is ours alone and has
 * a short path: a socket's name holds 107 bytes, a container's id may have 255.
 */
export class SystemIo implements IoFactory {
  readonly #syscalls: Syscalls;
  readonly #socketDirectory: string;
  #sockets = 0;

  constructor(syscalls: Syscalls, socketDirectory: string) {
    this.#syscalls = syscalls;
    this.#socketDirectory = socketDirectory;
  }

  /** Three pipes, real ones: a container could not open /dev/stdout again if it were one of Node's socket pairs. */
  pipes(): PreparedIo {
    const open = new Set<number>();
    const close = (fd: number): void => {
      if (open.delete(fd)) closeSync(fd);
    };
    const closeAll = (): void => {
      for (const fd of open) close(fd);
    };
    const pipe = (): readonly [number, number] => {
      const ends = this.#syscalls.pipe2();
      for (const fd of ends) open.add(fd);
      return ends;
    };
    try {
      const [childIn, stdin] = pipe();
      const [stdout, childOut] = pipe();
      const [stderr, childErr] = pipe();
      return {
        stdio: [childIn, childOut, childErr],
        consoleSocket: undefined,
        release: () => {
          for (const fd of [childIn, childOut, childErr]) close(fd);
        },
        connect: () => {
          // The streams take the descriptors and make them non-blocking; the container's ends stay as it expects them.
          for (const fd of [stdin, stdout, stderr]) open.delete(fd);
          return Promise.resolve(pipeStreams(this.#syscalls, stdin, stdout, stderr));
        },
        abandon: closeAll,
      };
    } catch (error) {
      closeAll();
      throw error;
    }
  }

  /** A socket on which the runtime sends the terminal that it made inside the container. */
  terminal(): Promise<PreparedIo> {
    mkdirSync(this.#socketDirectory, { recursive: true, mode: 0o700 });
    this.#sockets += 1;
    // The plus sign keeps it apart from containers' folders: no id begins with one.
    const socket = ConsoleSocket.listen(join(this.#socketDirectory, `+tty${this.#sockets}`), this.#syscalls);
    return Promise.resolve({
      stdio: ["ignore", "ignore", "ignore"],
      consoleSocket: socket.path,
      release: () => {},
      connect: async (signal) => {
        try {
          return terminalStreams(openPty(await socket.receive(signal), this.#syscalls));
        } finally {
          socket.close();
        }
      },
      abandon: () => socket.close(),
    });
  }
}

function pipeStreams(syscalls: Syscalls, stdin: number, stdout: number, stderr: number): ProcessStreams {
  const streams = {
    stdin: openPipeWriter(stdin, syscalls),
    stdout: openPipeReader(stdout, syscalls),
    stderr: openPipeReader(stderr, syscalls),
  };
  return {
    ...streams,
    resize: undefined,
    close: () => {
      for (const stream of Object.values(streams)) stream.close();
    },
  };
}

function terminalStreams(pty: Pty): ProcessStreams {
  return {
    stdin: pty.writer,
    stdout: pty.reader,
    stderr: undefined,
    resize: (rows, cols) => pty.resize({ rows, cols }),
    close: () => pty.close(),
  };
}
