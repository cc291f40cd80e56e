import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";

import type { RuntimeMeasurement } from "@nacre/attesters";

import { AgentError } from "../error.ts";
import { type AgentEvent, encodeEntry, eventDigest, eventText, extended } from "./tcg2.ts";
import { decodeWriteAhead, encodeWriteAhead } from "./write-ahead.ts";

export interface EventLogPaths {
  readonly log: string;
  readonly writeAhead: string;
}

export const EVENT_LOG_PATHS: EventLogPaths = {
  log: "/run/attestation-agent/eventlog",
  writeAhead: "/run/attestation-agent/.wal_event_entry",
};

/** Bytes of the log: it goes with each piece of evidence, and a broker takes two million. */
export const MAX_LOG: number = 512 * 1024;

const DIGEST_BYTES = { sha256: 32, sha384: 48 } as const;

export type ExtendResult = "NOT_SUPPORTED" | "OK";

/**
 * The agent's events, each in a register and in the log. An end of the process at any moment leaves either both or
 * neither, once {@link EventLog.open} has run again: what is about to be done is written down first, under its final name
 * only when it is whole.
 */
export class EventLog {
  readonly #measurement: RuntimeMeasurement;
  readonly #paths: EventLogPaths;
  readonly #defaultPcr: number;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(measurement: RuntimeMeasurement, defaultPcr: number, paths: EventLogPaths) {
    this.#measurement = measurement;
    this.#paths = paths;
    this.#defaultPcr = defaultPcr;
  }

  /** Finishes what was begun. Rejects with AgentError `event-log` where the register does not fit what is written down. */
  static async open(
    measurement: RuntimeMeasurement,
    defaultPcr: number,
    paths: EventLogPaths = EVENT_LOG_PATHS,
  ): Promise<EventLog> {
    mkdirSync(dirname(paths.log), { recursive: true, mode: 0o700 });
    const log = new EventLog(measurement, defaultPcr, paths);
    rmSync(log.#unfinished, { force: true });
    await log.#recover();
    return log;
  }

  /**
   * One after the other. Rejects with AgentError, or what the device rejects with: then it is not known whether the
   * register has the event, and the next call, or the next start, finishes it first.
   */
  async extend(event: AgentEvent, pcr: number = this.#defaultPcr): Promise<ExtendResult> {
    const text = eventText(event);
    const register = this.#measurement.register(pcr);
    if (register === undefined) return "NOT_SUPPORTED";
    const before = this.#turn;
    const mine = before.catch(() => undefined).then(() => this.#extend(text, register));
    this.#turn = mine;
    await mine;
    return "OK";
  }

  async #extend(text: string, register: number): Promise<void> {
    // An earlier event whose end is not known comes first.
    await this.#recover();
    const { hash } = this.#measurement;
    const digest = eventDigest(text, hash);
    const offset = sizeOf(this.#paths.log);
    const entry = encodeEntry(register, text, hash);
    if (offset + entry.length > MAX_LOG)
      throw new AgentError("event-log", `expected a log of at most ${MAX_LOG} bytes`);
    const expected = extended(await this.#measurement.read(register), digest, hash);
    writeWhole(this.#unfinished, encodeWriteAhead({ offset, expected, text, register }));
    renameSync(this.#unfinished, this.#paths.writeAhead);
    await this.#measurement.extend(register, digest);
    this.#append(offset, entry);
  }

  async #recover(): Promise<void> {
    const bytes = readIfThere(this.#paths.writeAhead);
    if (bytes === undefined) return;
    const { hash } = this.#measurement;
    const fallback = this.#measurement.register(this.#defaultPcr) ?? 0;
    const { offset, expected, text, register } = decodeWriteAhead(bytes, DIGEST_BYTES[hash], fallback);
    if (offset > sizeOf(this.#paths.log)) {
      throw new AgentError("event-log", `expected a log of at least ${offset} bytes, got ${sizeOf(this.#paths.log)}`);
    }
    const value = await this.#measurement.read(register);
    if (!value.equals(expected)) {
      const digest = eventDigest(text, hash);
      if (!extended(value, digest, hash).equals(expected)) {
        throw new AgentError("event-log", `register ${register}: expected its value before or after the event`);
      }
      await this.#measurement.extend(register, digest);
    }
    this.#append(offset, encodeEntry(register, text, hash));
  }

  #append(offset: number, entry: Buffer): void {
    const fd = openSync(this.#paths.log, "a", 0o600);
    try {
      // What was written of it before.
      ftruncateSync(fd, offset);
      writeAll(fd, entry);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    rmSync(this.#paths.writeAhead);
  }

  get #unfinished(): string {
    return `${this.#paths.writeAhead}.new`;
  }
}

function writeWhole(path: string, bytes: Buffer): void {
  const fd = openSync(path, "w", 0o600);
  try {
    writeAll(fd, bytes);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function writeAll(fd: number, bytes: Buffer): void {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done);
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw cause;
  }
}
