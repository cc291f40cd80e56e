import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { parseIdentity, type ProcessIdentity } from "../guest/identity.ts";
import { isGuestId } from "../guest/layout.ts";
import { parseVmId, type VmSpec } from "./vm-spec.ts";

/**
 * How far a virtual machine has come: asked for, being started, handed over to the runtime. A server that finds
 * `starting` knows that nobody was told of the guest.
 */
export type VmStage = "created" | "starting" | "running";

/** What is remembered of a virtual machine, so that a server that starts anew finds its guests. */
export interface VmRecord {
  readonly spec: VmSpec;
  /** The guest's own id, chosen when the runtime asks for the socket. */
  readonly guest: string;
  /** ISO 8601. */
  readonly created: string;
  readonly stage: VmStage;
  /** The shim that started it; absent for other callers. */
  readonly runtime?: ProcessIdentity | undefined;
}

const SUFFIX = ".json";

/** The records of one server, a file each; they hold initdata and are its owner's alone. */
export class VmRecords {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  /** Writes a record as a whole: whoever reads, reads the old or the new one. */
  write(record: VmRecord): void {
    const file = this.#file(record.spec.id);
    writeFileSync(`${file}.new`, `${JSON.stringify(record)}\n`, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }

  remove(id: string): void {
    rmSync(this.#file(id), { force: true });
  }

  /** All that can be read. What cannot, such as a file that a full disk cut off, is removed: records appear whole. */
  read(): readonly VmRecord[] {
    return readdirSync(this.folder).flatMap((name) => {
      const record = parseVmRecord(readFileSync(join(this.folder, name), "utf8"));
      if (record !== undefined && `${record.spec.id}${SUFFIX}` === name) return [record];
      rmSync(join(this.folder, name), { force: true });
      return [];
    });
  }

  #file(id: string): string {
    return join(this.folder, `${id}${SUFFIX}`);
  }
}

/** Reads what {@link VmRecords.write} wrote; undefined for anything else. */
export function parseVmRecord(text: string): VmRecord | undefined {
  try {
    const { spec, guest, created, stage, runtime } = JSON.parse(text) as VmRecord;
    parseVmId(spec.id);
    if (!isGuestId(guest) || !["created", "starting", "running"].includes(stage)) return undefined;
    if (typeof created !== "string" || typeof spec.networkNamespace !== "string") return undefined;
    const tied = parseIdentity(runtime);
    return { spec, guest, created, stage, ...(tied === undefined ? {} : { runtime: tied }) };
  } catch {
    return undefined;
  }
}
