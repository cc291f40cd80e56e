import { closeSync, writeSync } from "node:fs";

import { describe, expect, it } from "vitest";

import {
  FdReader,
  FdWriter,
  linuxSyscalls,
  MAX_READ,
  openPty,
  openPtyPair,
  ptyNumber,
  setWindowSize,
  windowSize,
} from "../src/index.ts";

const sys = linuxSyscalls();

function pipe(): { reader: FdReader; writer: FdWriter } {
  const [read, write] = sys.pipe2();
  return { reader: new FdReader(read, sys), writer: new FdWriter(write, sys) };
}

async function readAll(reader: FdReader, max = MAX_READ): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for (let chunk = await reader.read(max); chunk !== null; chunk = await reader.read(max)) {
    expect(chunk.length).toBeLessThanOrEqual(max);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

describe("FdReader and FdWriter on a pipe", () => {
  it("carry more than the pipe holds, in order, in small reads", async () => {
    const { reader, writer } = pipe();
    const data = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 251));
    const written = Promise.all([writer.write(data.subarray(0, 100)), writer.write(data.subarray(100)), writer.end()]);
    expect((await readAll(reader, 1000)).equals(data)).toBe(true);
    await written;
    reader.close();
  });

  it("leaves in the kernel what nobody reads", async () => {
    const { reader, writer } = pipe();
    const controller = new AbortController();
    await writer.write(Buffer.alloc(65_536));
    const blocked = writer.write(Buffer.alloc(1), controller.signal);
    controller.abort(new Error("given up"));
    await expect(blocked).rejects.toThrow("given up");
    expect(await reader.read(10)).toHaveLength(10);
    await writer.end();
    expect(await readAll(reader)).toHaveLength(65_526);
    reader.close();
  });

  it("answers a waiting read when data comes, and overlapping reads in order", async () => {
    const { reader, writer } = pipe();
    const reads = Promise.all([reader.read(1), reader.read(2), reader.read(3), reader.read(4)]);
    await writer.write(Buffer.from("abcdef"));
    await writer.end();
    expect((await reads).map((chunk) => chunk?.toString())).toEqual(["a", "bc", "def", undefined]);
    reader.close();
  });

  it("gives up a read without losing bytes", async () => {
    const { reader, writer } = pipe();
    const controller = new AbortController();
    const given = reader.read(5, controller.signal);
    const next = reader.read(5);
    controller.abort(new Error("client went away"));
    await expect(given).rejects.toThrow("client went away");
    await writer.write(Buffer.from("hello"));
    expect((await next)?.toString()).toBe("hello");
    await expect(reader.read(5, AbortSignal.abort(new Error("before")))).rejects.toThrow("before");
    reader.close();
    writer.close();
  });

  it("ends waiting reads and writes when it is closed", async () => {
    const { reader, writer } = pipe();
    const read = reader.read(1);
    reader.close();
    reader.close();
    expect(await read).toBeNull();
    expect(await reader.read(1)).toBeNull();
    await expect(writer.write(Buffer.from("x"))).rejects.toMatchObject({ code: "EPIPE" });

    const other = pipe();
    const stuck = other.writer.write(Buffer.alloc(100_000));
    other.writer.close();
    await expect(stuck).rejects.toMatchObject({ code: "EBADF" });
    await other.writer.end();
    other.reader.close();
    writer.close();
  });

  it("tells a writer that waits that its reader is gone", async () => {
    const { reader, writer } = pipe();
    const stuck = writer.write(Buffer.alloc(100_000));
    reader.close();
    await expect(stuck).rejects.toMatchObject({ code: "EPIPE", syscall: "write" });
    writer.close();
  });

  it.each([0, -1, 1.5, Number.NaN])("refuses to read %s bytes", async (max) => {
    const { reader, writer } = pipe();
    await expect(reader.read(max)).rejects.toMatchObject({ code: "EINVAL" });
    reader.close();
    writer.close();
  });

  it("reports what cannot be read at all", async () => {
    const [read, write] = sys.pipe2();
    const reader = new FdReader(write, sys);
    await expect(reader.read(1)).rejects.toMatchObject({ code: "EBADF", syscall: "read" });
    reader.close();
    closeSync(read);
  });
});

describe("a pseudo-terminal", () => {
  it("carries both ways, has a size, and ends when the last slave is closed", async () => {
    const { master, slave, slavePath } = openPtyPair(sys);
    const pty = openPty(master, sys);
    expect(slavePath).toBe(`/dev/pts/${ptyNumber(sys, master)}`);
    pty.resize({ rows: 33, cols: 132 });
    expect(windowSize(sys, slave)).toEqual({ rows: 33, cols: 132 });

    // A terminal gives a line in as many pieces as it likes.
    const lineFromMaster = async (): Promise<string> => {
      let text = "";
      while (!text.endsWith("\n")) text += String(await pty.reader.read(100));
      return text;
    };
    writeSync(slave, "out\n");
    expect(await lineFromMaster()).toBe("out\r\n");
    await pty.writer.write(Buffer.from("in\n"));
    const line = Buffer.alloc(10);
    sys.setNonBlocking(slave, true);
    expect(line.toString("utf8", 0, sys.read(slave, line))).toBe("in\n");
    expect(await lineFromMaster()).toBe("in\r\n");

    const last = pty.reader.read(100);
    writeSync(slave, "bye");
    closeSync(slave);
    expect((await last)?.toString()).toBe("bye");
    expect(await pty.reader.read(100)).toBeNull();
    pty.close();
  });

  it("refuses sizes that do not fit and descriptors that are none", () => {
    const [read, write] = sys.pipe2();
    expect(() => setWindowSize(sys, read, { rows: 65_536, cols: 1 })).toThrow("expected 0 to 65535, got 65536 rows");
    expect(() => setWindowSize(sys, read, { rows: 1, cols: 1 })).toThrow("ioctl: ENOTTY");
    expect(() => ptyNumber(sys, read)).toThrow("ioctl: ENOTTY");
    closeSync(read);
    closeSync(write);
  });
});
