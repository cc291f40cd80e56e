import { FdReader } from "./fd-reader.ts";
import { FdWriter } from "./fd-writer.ts";
import { setWindowSize, type WindowSize } from "./pty.ts";
import type { DescriptorCalls } from "./syscalls.ts";

/** The master of a pseudo-terminal: two directions and a size. */
export interface Pty extends Disposable {
  readonly reader: FdReader;
  readonly writer: FdWriter;
  resize(size: WindowSize): void;
  close(): void;
}

/** Our end of a pipe that a container writes to. Takes the descriptor. */
export function openPipeReader(fd: number, sys: DescriptorCalls): FdReader {
  return new FdReader(fd, sys);
}

/** Our end of a pipe that a container reads from. Takes the descriptor. */
export function openPipeWriter(fd: number, sys: DescriptorCalls): FdWriter {
  return new FdWriter(fd, sys);
}

/** The master of a container's terminal. Takes the descriptor. */
export function openPty(fd: number, sys: DescriptorCalls): Pty {
  const reader = new FdReader(fd, sys);
  // libuv watches a descriptor once; the other direction needs a number of its own.
  const writer = new FdWriter(sys.dup(fd), sys);
  const close = (): void => {
    reader.close();
    writer.close();
  };
  return {
    reader,
    writer,
    resize: (size) => {
      setWindowSize(sys, fd, size);
    },
    close,
    [Symbol.dispose]: close,
  };
}
