import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import type { grpc, Init } from "@nacre/protocols";

import { NacreError } from "./error.ts";

/** Names that are also file names. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/u;
const SUFFIX = ".json";

/** What is remembered of a container: the agent keeps no list of names, and an exec repeats the container's process. */
export interface ContainerRecord {
  readonly name: string;
  /** The agent's id. */
  readonly id: string;
  readonly image: string;
  /** ISO 8601. */
  readonly created: string;
  readonly process: Init<grpc.Process>;
  /** Once somebody has collected it. */
  readonly exitStatus?: number;
}

/** The containers of one guest, a file each, in the folder that goes with the guest. */
export class ContainerStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Takes the name. Throws NacreError `usage` when it is taken or cannot be one. */
  add(record: ContainerRecord): void {
    if (!NAME.test(record.name)) {
      throw new NacreError(
        "usage",
        `container name ${JSON.stringify(record.name)}: expected up to 63 letters, digits, . _ -`,
      );
    }
    try {
      // 0600: the process holds the environment, which may hold secrets.
      writeFileSync(this.#path(record.name), JSON.stringify(record, bigintAsNumber), { mode: 0o600, flag: "wx" });
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause;
      throw new NacreError("usage", `a container ${record.name} exists: nacre rm ${record.name}, or another --name`);
    }
  }

  replace(record: ContainerRecord): void {
    const fresh = join(this.#folder, `.${record.name}.${process.pid}`);
    writeFileSync(fresh, JSON.stringify(record, bigintAsNumber), { mode: 0o600 });
    renameSync(fresh, this.#path(record.name));
  }

  remove(name: string): void {
    rmSync(this.#path(name), { force: true });
  }

  /** By name, or by the beginning of its id. */
  find(text: string): ContainerRecord | undefined {
    const all = this.list();
    return (
      all.find(({ name }) => name === text) ?? (text.length < 6 ? undefined : all.find(({ id }) => id.startsWith(text)))
    );
  }

  /** All, the oldest first. */
  list(): readonly ContainerRecord[] {
    return readdirSync(this.#folder)
      .filter((file) => file.endsWith(SUFFIX) && !file.startsWith("."))
      .flatMap((file) => this.#read(file))
      .sort((a, b) => (a.created < b.created ? -1 : 1));
  }

  #read(file: string): readonly ContainerRecord[] {
    try {
      return [JSON.parse(readFileSync(join(this.#folder, file), "utf8")) as ContainerRecord];
    } catch {
      // Another command is writing or removing it at this moment.
      return [];
    }
  }

  #path(name: string): string {
    return join(this.#folder, `${name}${SUFFIX}`);
  }
}

/** The only ones here are console sizes and scores, which are small. */
function bigintAsNumber(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? Number(value) : value;
}
