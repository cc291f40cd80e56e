import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import {
  encodeEntry,
  EventLog,
  type EventLogPaths,
  eventDigest,
  eventText,
  extended,
  MAX_LOG,
} from "../../src/index.ts";
import { encodeWriteAhead } from "../../src/eventlog/write-ahead.ts";
import { Registers } from "../fakes.ts";

let folder: string;
let paths: EventLogPaths;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "nacre-eventlog-"));
  paths = { log: join(folder, "deep/eventlog"), writeAhead: join(folder, "deep/.wal_event_entry") };
});
afterEach(() => rmSync(folder, { recursive: true }));

const EVENT = { domain: "github.com/confidential-containers", operation: "PullImage", content: '{"a":"b", "c":"d"}' };

/** What the registers must hold by the log. */
function replay(log: Buffer): Map<number, Buffer> {
  const values = new Map<number, Buffer>();
  for (let at = 0; at < log.length;) {
    const register = log.readUInt32LE(at);
    const digest = log.subarray(at + 14, at + 62);
    const size = log.readUInt32LE(at + 62);
    expect(at + 66 + size).toBeLessThanOrEqual(log.length);
    expect(digest).toEqual(eventDigest(log.toString("utf8", at + 74, at + 66 + size), "sha384"));
    values.set(register, extended(values.get(register) ?? Buffer.alloc(48), digest, "sha384"));
    at += 66 + size;
  }
  return values;
}

describe("the event log", () => {
  it("replays to what the registers hold", async () => {
    const registers = new Registers();
    const log = await EventLog.open(registers, 17, paths);
    const results = await Promise.all([
      log.extend(EVENT),
      log.extend({ ...EVENT, content: "x y z" }, 2),
      log.extend({ ...EVENT, content: "ü" }),
    ]);
    expect(results).toEqual(["OK", "OK", "OK"]);
    expect(replay(readFileSync(paths.log))).toEqual(registers.values);
    expect(registers.values.size).toBe(2);
    expect(existsSync(paths.writeAhead)).toBe(false);
  });

  it("goes on where it ended", async () => {
    const registers = new Registers();
    await (await EventLog.open(registers, 17, paths)).extend(EVENT);
    await (await EventLog.open(registers, 17, paths)).extend(EVENT);
    expect(registers.extends).toBe(2);
    expect(replay(readFileSync(paths.log))).toEqual(registers.values);
  });

  it("has no register for some", async () => {
    const registers = new Registers();
    const log = await EventLog.open(registers, 17, paths);
    expect(await log.extend(EVENT, 23)).toBe("NOT_SUPPORTED");
    expect(existsSync(paths.log)).toBe(false);
  });

  it.each([
    [{ ...EVENT, content: "a\nb" }, "no newline in the content"],
    [{ ...EVENT, domain: "a b" }, "one word as domain"],
    [{ ...EVENT, operation: "" }, "one word as operation"],
    [{ ...EVENT, operation: "a\0" }, "one word as operation"],
    [{ ...EVENT, content: "x".repeat(20_000) }, "at most 16384 bytes"],
  ])("does not take %j", async (event, message) => {
    const registers = new Registers();
    const log = await EventLog.open(registers, 17, paths);
    await expect(log.extend(event)).rejects.toThrow(message);
    expect(registers.extends).toBe(0);
  });

  it("does not grow beyond what goes with evidence, and extends nothing then", async () => {
    const registers = new Registers();
    const log = await EventLog.open(registers, 17, paths);
    await log.extend(EVENT);
    const content = "x".repeat(16_000);
    for (;;) {
      const done = await log.extend({ ...EVENT, content }).catch((error: unknown) => error);
      if (done !== "OK") break;
    }
    expect(readFileSync(paths.log).length).toBeLessThanOrEqual(MAX_LOG);
    expect(replay(readFileSync(paths.log))).toEqual(registers.values);
  });

  it("logs nothing where the device refuses, and tries again with the next event", async () => {
    const registers = new Registers();
    const log = await EventLog.open(registers, 17, paths);
    const extend = registers.extend.bind(registers);
    registers.extend = () => Promise.reject(new Error("device"));
    await expect(log.extend(EVENT)).rejects.toThrow("device");
    registers.extend = extend;
    await log.extend({ ...EVENT, content: "next" });
    expect(replay(readFileSync(paths.log))).toEqual(registers.values);
    expect(registers.extends).toBe(2);
  });
});

describe("an agent that was killed", () => {
  const text = eventText({ ...EVENT, content: "the second" });
  const first = encodeEntry(2, eventText(EVENT), "sha384");
  const second = encodeEntry(3, text, "sha384");

  /** A log of one event, and the second begun. */
  async function begun(done: boolean): Promise<{ registers: Registers; writeAhead: Buffer }> {
    const registers = new Registers();
    const log = await EventLog.open(registers, 17, paths);
    await log.extend(EVENT);
    expect(readFileSync(paths.log)).toEqual(first);
    const digest = eventDigest(text, "sha384");
    const expected = extended(await registers.read(3), digest, "sha384");
    if (done) await registers.extend(3, digest);
    return { registers, writeAhead: encodeWriteAhead({ offset: first.length, expected, text, register: 3 }) };
  }

  it("at any byte of what it writes down first has done nothing", async () => {
    const { registers, writeAhead } = await begun(false);
    for (let length = 0; length <= writeAhead.length; length++) {
      writeFileSync(`${paths.writeAhead}.new`, writeAhead.subarray(0, length));
      await EventLog.open(registers, 17, paths);
      expect(readFileSync(paths.log)).toEqual(first);
      expect(existsSync(`${paths.writeAhead}.new`)).toBe(false);
    }
  });

  it.each([false, true])("before or after it extended the register (%s), at any byte of the log", async (done) => {
    for (let length = 0; length <= second.length; length++) {
      rmSync(join(folder, "deep"), { recursive: true, force: true });
      const { registers, writeAhead } = await begun(done);
      // Bytes of the entry come only after the register.
      if (!done && length > 0) continue;
      writeFileSync(paths.writeAhead, writeAhead);
      writeFileSync(paths.log, Buffer.concat([first, second.subarray(0, length)]));
      await EventLog.open(registers, 17, paths);
      expect(readFileSync(paths.log)).toEqual(Buffer.concat([first, second]));
      expect(replay(readFileSync(paths.log))).toEqual(registers.values);
      expect(existsSync(paths.writeAhead)).toBe(false);
    }
  });

  it("does not start where the register holds something else, or the log is shorter", async () => {
    const { registers, writeAhead } = await begun(false);
    writeFileSync(paths.writeAhead, writeAhead);
    await registers.extend(3, Buffer.alloc(48));
    await expect(EventLog.open(registers, 17, paths)).rejects.toThrow("register 3: expected its value before or after");
    writeFileSync(paths.log, "");
    await expect(EventLog.open(registers, 17, paths)).rejects.toThrow(`at least ${first.length} bytes, got 0`);
  });

  it.each([[Buffer.alloc(0)], [Buffer.alloc(56)], [Buffer.alloc(60, 0xff)], [Buffer.from("x".repeat(80) + "\n3\n4")]])(
    "does not start from what is no such file",
    async (bytes) => {
      const { registers } = await begun(false);
      writeFileSync(paths.writeAhead, bytes);
      await expect(EventLog.open(registers, 17, paths)).rejects.toThrow(/write-ahead file|register|at least/u);
    },
  );

  it("finishes what upstream's agent began, whose file names no register", async () => {
    const { registers, writeAhead } = await begun(true);
    const at = writeAhead.indexOf("\n");
    const registers17 = new Registers();
    registers17.values.set(2, registers.values.get(3) ?? Buffer.alloc(0));
    writeFileSync(paths.writeAhead, writeAhead.subarray(0, at));
    await EventLog.open(registers17, 17, paths);
    expect(readFileSync(paths.log)).toEqual(Buffer.concat([first, encodeEntry(2, text, "sha384")]));
  });
});
