import { createHash } from "node:crypto";

import type { CommandDevice, Devices, Pointer } from "../src/index.ts";

const TSM = "/sys/kernel/config/tsm/report";

export interface FakeOptions {
  readonly files?: Readonly<Record<string, Uint8Array | string>>;
  /** The provider of configfs-tsm, and what it makes of an inblob. */
  readonly tsm?: { readonly provider: string; report(inblob: Buffer): Buffer; readonly auxblob?: Buffer };
  /** Somebody else writes to a report's folder in between. */
  readonly interfere?: boolean;
  ioctl?(path: string, request: number, argument: Buffer, pointers: readonly Pointer[]): void;
  readonly transact?: (command: Buffer) => Buffer;
}

/** A machine's files as a tree in memory, with the kernel's behaviour behind those that have one. */
export class FakeDevices implements Devices {
  readonly files = new Map<string, Buffer>();
  readonly writes: string[] = [];
  readonly folders = new Set<string>();
  readonly #options: FakeOptions;
  readonly #generations = new Map<string, number>();

  constructor(options: FakeOptions = {}) {
    this.#options = options;
    for (const [path, content] of Object.entries(options.files ?? {})) this.files.set(path, Buffer.from(content));
    if (options.tsm !== undefined) this.folders.add(TSM);
  }

  exists(path: string): boolean {
    return (
      this.folders.has(path) || [...this.files.keys()].some((name) => name === path || name.startsWith(`${path}/`))
    );
  }

  read(path: string): Promise<Buffer | undefined> {
    const { tsm } = this.#options;
    const folder = path.slice(0, path.lastIndexOf("/"));
    if (tsm !== undefined && folder.startsWith(`${TSM}/`)) {
      const inblob = this.files.get(`${folder}/inblob`);
      switch (path.slice(folder.length + 1)) {
        case "provider":
          return Promise.resolve(Buffer.from(`${tsm.provider}\n`));
        case "generation":
          return Promise.resolve(Buffer.from(`${this.#generations.get(folder) ?? 0}\n`));
        case "outblob":
          if (this.#options.interfere === true) this.#generations.set(folder, 9);
          return Promise.resolve(inblob === undefined ? undefined : tsm.report(inblob));
        case "auxblob":
          return Promise.resolve(tsm.auxblob);
        default:
      }
    }
    return Promise.resolve(this.files.get(path));
  }

  write(path: string, bytes: Uint8Array): Promise<void> {
    this.writes.push(path);
    const folder = path.slice(0, path.lastIndexOf("/"));
    this.#generations.set(folder, (this.#generations.get(folder) ?? 0) + 1);
    const register = /\/rtmr\d:sha384$/u.test(path) ? this.files.get(path) : undefined;
    const value = register === undefined ? bytes : createHash("sha384").update(register).update(bytes).digest();
    this.files.set(path, Buffer.from(value));
    return Promise.resolve();
  }

  mkdir(path: string): Promise<void> {
    if (path.startsWith(`${TSM}/`) && this.#options.tsm === undefined) return Promise.reject(new Error("ENXIO"));
    this.folders.add(path);
    return Promise.resolve();
  }

  rmdir(path: string): Promise<void> {
    this.folders.delete(path);
    for (const name of this.files.keys()) if (name.startsWith(`${path}/`)) this.files.delete(name);
    return Promise.resolve();
  }

  async ioctl(path: string, request: number, argument: Buffer, pointers: readonly Pointer[] = []): Promise<void> {
    await Promise.resolve();
    if (this.#options.ioctl === undefined) throw new Error("ENOTTY");
    this.#options.ioctl(path, request, argument, pointers);
  }

  open(): Promise<CommandDevice> {
    const { transact } = this.#options;
    if (transact === undefined) return Promise.reject(new Error("ENOENT"));
    return Promise.resolve({
      transact: (command) => Promise.resolve(transact(Buffer.from(command))),
      close: () => Promise.resolve(),
    });
  }
}
