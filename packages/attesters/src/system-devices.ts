import { closeSync, constants, existsSync, openSync } from "node:fs";
import { mkdir, open, readFile, rmdir } from "node:fs/promises";

import { linuxSyscalls, type Syscalls } from "@nacre/kata-sys-util";

import { type CommandDevice, type Devices, MAX_DEVICE_READ } from "./devices.ts";
import { AttesterError } from "./error.ts";

/** A TPM's longest response. */
const MAX_RESPONSE = 4096;

/** The machine's devices; `root` stands before every path, for trees that imitate them. */
export function systemDevices(root = "", syscalls: () => Syscalls = linuxSyscalls): Devices {
  return {
    exists: (path) => existsSync(root + path),
    async read(path) {
      try {
        const bytes = await readFile(root + path);
        if (bytes.length > MAX_DEVICE_READ) throw new Error(`expected at most ${MAX_DEVICE_READ} bytes`);
        return bytes;
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        throw failed("read", path, cause);
      }
    },
    async write(path, bytes) {
      try {
        await using file = await open(root + path, constants.O_WRONLY);
        const { bytesWritten } = await file.write(bytes);
        if (bytesWritten !== bytes.length) throw new Error(`expected ${bytes.length} bytes taken, got ${bytesWritten}`);
      } catch (cause) {
        throw failed("write", path, cause);
      }
    },
    async mkdir(path) {
      await mkdir(root + path, { mode: 0o700 }).catch((cause: unknown) => Promise.reject(failed("make", path, cause)));
    },
    async rmdir(path) {
      await rmdir(root + path).catch((cause: unknown) => Promise.reject(failed("remove", path, cause)));
    },
    async ioctl(path, request, argument, pointers = []) {
      let fd: number | undefined;
      try {
        fd = openSync(root + path, constants.O_RDWR);
        await syscalls().ioctlLater(fd, request, argument, pointers);
      } catch (cause) {
        throw failed("ask", path, cause);
      } finally {
        if (fd !== undefined) closeSync(fd);
      }
    },
    open: (path) => openCommandDevice(root + path),
  };
}

async function openCommandDevice(path: string): Promise<CommandDevice> {
  const file = await open(path, constants.O_RDWR).catch((cause: unknown) =>
    Promise.reject(failed("open", path, cause)),
  );
  return {
    async transact(command) {
      try {
        await file.write(command);
        const response = Buffer.alloc(MAX_RESPONSE);
        const { bytesRead } = await file.read(response, 0, response.length, null);
        return response.subarray(0, bytesRead);
      } catch (cause) {
        throw failed("ask", path, cause);
      }
    },
    close: () => file.close(),
  };
}

function failed(operation: string, path: string, cause: unknown): AttesterError {
  return new AttesterError("device", `${operation} ${path}: ${(cause as Error).message}`, { cause });
}
