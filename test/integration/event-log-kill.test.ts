import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { encodeEntry, eventText, HEADER, END } from "@nacre/attestation-agent";
import { afterAll, beforeAll, expect, it } from "vitest";

import { parseEventLog, replay } from "../../packages/trustee/src/verifier/event-log/event-log.ts";
import { openLogIn } from "../fixtures/event-log-folder.ts";

/** Limits the size of the files that a process may write: the write that meets it ends there, in the middle. */
const PRLIMIT = "/usr/bin/prlimit";
const WRITER = join(import.meta.dirname, "../fixtures/event-log-writer.ts");
const SWEEP = join(import.meta.dirname, "../fixtures/event-log-sweep.ts");
const SECOND = "two";
const root = mkdtempSync(join(tmpdir(), "nacre-log-kill-"));
const before = join(root, "before");
const entry = (content: string): Buffer =>
  encodeEntry(3, eventText({ domain: "nacre.test", operation: "Write", content }), "sha384");

/** Longer than the register and what is written down first, so that a limit beyond it meets the log alone. */
const FIRST = "x".repeat(160);

interface Ended {
  readonly killed: boolean;
  readonly said: string;
}

async function writer(folder: string, args: readonly string[], limit?: number, die?: string): Promise<Ended> {
  const node = [process.execPath, "--conditions=source", WRITER, folder, ...args];
  const [command = "", ...rest] = limit === undefined ? node : [PRLIMIT, `--fsize=${limit}`, ...node];
  const env = { ...process.env, ...(die === undefined ? {} : { DIE: die }) };
  const ended = await promisify(execFile)(command, rest, { env }).then(
    ({ stdout }) => ({ killed: false, said: stdout }),
    (error: Error & { readonly signal?: string; readonly stderr?: string }) => {
      if (error.signal !== "SIGKILL") throw error;
      return { killed: true, said: "" };
    },
  );
  return ended;
}

beforeAll(async () => {
  mkdirSync(before);
  expect(await writer(before, ["append", FIRST])).toEqual({ killed: false, said: "done\n" });
});
afterAll(() => rmSync(root, { recursive: true }));

/** What a broker makes of the folder's log, and whether the register agrees. */
function contents(folder: string): readonly string[] {
  const log = readFileSync(join(folder, "eventlog"));
  const events = parseEventLog(Buffer.concat([HEADER, log, END]));
  expect(replay(events, 3, "SHA-384")).toEqual(readFileSync(join(folder, "register")));
  for (const { digests, digest_matches_event: matches } of events) {
    expect([digests.length, matches]).toEqual([1, true]);
  }
  return events.map(({ details }) => (details.data as { readonly content: string }).content);
}

async function killed(name: string, limit?: number, die?: string): Promise<string> {
  const folder = join(root, name);
  cpSync(before, folder, { recursive: true });
  expect(await writer(folder, ["append", SECOND], limit, die), name).toEqual({ killed: true, said: "" });
  return folder;
}

/** An agent starts again, and goes on. */
async function recovered(folder: string): Promise<readonly string[]> {
  const log = await openLogIn(folder, () => {});
  await log.extend({ domain: "nacre.test", operation: "Write", content: "the next" });
  expect(existsSync(join(folder, "write-ahead"))).toBe(false);
  expect(existsSync(join(folder, "write-ahead.new"))).toBe(false);
  const found = contents(folder);
  rmSync(folder, { recursive: true });
  return found;
}

const DONE = [FIRST, SECOND, "the next"];
const UNDONE = [FIRST, "the next"];
const text = eventText({ domain: "nacre.test", operation: "Write", content: SECOND });
/** Offset, register's value, text and the register's number behind a newline. */
const WRITE_AHEAD: number = 8 + 48 + Buffer.byteLength(`${text}\n3`);

/** Copies of the log, each with the second event's write cut at another byte, and each then opened again. */
async function swept(
  name: string,
  first: number,
  count: number,
  check: (folder: string, byte: number) => Promise<void>,
) {
  const folder = join(root, name);
  mkdirSync(folder);
  const args = ["--conditions=source", SWEEP, before, folder, String(first), String(count), SECOND];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  expect(stdout).toBe("done\n");
  for (let byte = first; byte < first + count; byte++) await check(join(folder, String(byte)), byte);
}

async function nothingDone(folder: string, byte: number): Promise<void> {
  // Nothing has its final name, nor was anything measured.
  expect(existsSync(join(folder, "write-ahead"))).toBe(false);
  expect(await recovered(folder), `byte ${byte}`).toEqual(UNDONE);
}

async function allDone(folder: string, byte: number): Promise<void> {
  const written = entry(SECOND).subarray(0, byte - entry(FIRST).length);
  expect(readFileSync(join(folder, "eventlog"))).toEqual(Buffer.concat([entry(FIRST), written]));
  expect(await recovered(folder), `byte ${byte}`).toEqual(DONE);
}

it("what ends at any byte of what is written down first has done nothing, and the log is whole", async () => {
  await swept("first", 0, WRITE_AHEAD, nothingDone);
});

it("what ends at any byte of the log's entry has done all of it once the log is opened again", async () => {
  const start = entry(FIRST).length;
  expect(start).toBeGreaterThan(WRITE_AHEAD);
  await swept("entry", start, entry(SECOND).length, allDone);
});

it("a process that is killed at a byte of either leaves the same", async () => {
  const start = entry(FIRST).length;
  for (const byte of [0, 8, WRITE_AHEAD - 1]) await nothingDone(await killed(`first-${byte}`, byte), byte);
  for (const byte of [start, start + 14, start + entry(SECOND).length - 1]) {
    await allDone(await killed(`entry-${byte}`, byte), byte);
  }
});

it.each(["before 1", "after 1"])("a process that ends %s extension of the register has done all of it", async (die) => {
  const folder = await killed(die.replace(" ", "-"), undefined, die);
  expect(existsSync(join(folder, "write-ahead"))).toBe(true);
  expect(await writer(folder, ["open", "in another"])).toEqual({ killed: false, said: "done\n" });
  expect(await recovered(folder)).toEqual([FIRST, SECOND, "in another", "the next"]);
});

it("a process that ends while it finishes what another began leaves it to the next", async () => {
  for (const die of ["before 1", "after 1"]) {
    const folder = await killed(`again-${die.replace(" ", "-")}`, undefined, "before 1");
    expect(await writer(folder, ["open"], undefined, die)).toEqual({ killed: true, said: "" });
    expect(await recovered(folder)).toEqual(DONE);
  }
});

it("a disk that is full in the middle of a write loses nothing, and takes the next event once it has room", async () => {
  const start = entry(FIRST).length;
  for (const limit of [1, WRITE_AHEAD - 1, start, start + 70]) {
    const folder = join(root, `full-${limit}`);
    cpSync(before, folder, { recursive: true });
    // The process lives on.
    expect(await writer(folder, ["open", SECOND], limit)).toEqual({ killed: false, said: "failed\ndone\n" });
    expect(await recovered(folder)).toEqual(limit < WRITE_AHEAD ? UNDONE : DONE);
  }
});

it("the register holds what its events say", () => {
  const digest = createHash("sha384").update(entry(FIRST).subarray(66)).digest();
  const value = createHash("sha384").update(Buffer.alloc(48)).update(digest).digest();
  expect(readFileSync(join(before, "register"))).toEqual(value);
});
