import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { OpenFlag, SafeRoot, SysError, type SafeRootOptions } from "../src/index.ts";

const ROUNDS = 200;
const index = new URL("../src/index.ts", import.meta.url).href;

let top: string;
let root: string;
let outside: string;
let worker: Worker;
let ended: Promise<void>;

/** Swaps the directory `a/swap` for a symbolic link that leads outside, and back, as fast as it can. */
const swapper = `
  import { parentPort, workerData } from "node:worker_threads";
  import { linuxSyscalls } from ${JSON.stringify(index)};
  const sys = linuxSyscalls();
  const dirfd = sys.openat(-100, workerData.root + "/a", 0);
  const stop = new Int32Array(workerData.stop);
  let swaps = 0;
  parentPort.postMessage("ready");
  while (Atomics.load(stop, 0) === 0) {
    sys.renameat2(dirfd, "swap", dirfd, "link", 2);
    swaps += 1;
  }
  parentPort.postMessage(swaps);
`;
const stop = new Int32Array(new SharedArrayBuffer(4));

function message(): Promise<unknown> {
  return new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
}

beforeEach(async () => {
  top = mkdtempSync(join(tmpdir(), "race-"));
  root = join(top, "root");
  outside = join(top, "outside");
  mkdirSync(join(root, "a/swap/deep"), { recursive: true });
  mkdirSync(join(outside, "deep"), { recursive: true });
  writeFileSync(join(outside, "secret"), "secret");
  writeFileSync(join(root, "a/swap/secret"), "decoy");
  symlinkSync(outside, join(root, "a/link"));
  stop[0] = 0;
  worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(swapper)}`), {
    workerData: { root, stop: stop.buffer },
    execArgv: ["--conditions=source"],
  });
  ended = new Promise((resolve) => worker.once("exit", () => resolve()));
  expect(await message()).toBe("ready");
});

/** Not by terminating it: that ends the whole process where it meets the thread in a system call's wrapper. */
async function stopSwapping(): Promise<void> {
  stop[0] = 1;
  await ended;
}

afterEach(async () => {
  await stopSwapping();
  rmSync(top, { recursive: true, force: true });
});

function attempt(run: () => void, outcomes: Map<string, number>): void {
  let outcome = "done";
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(SysError);
    outcome = (error as SysError).code;
  }
  outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
}

// The machine may be busy: what is tested takes as long as it takes.
describe("a directory swapped for a link to the outside while SafeRoot works", { timeout: 60_000 }, () => {
  it.each<[string, SafeRootOptions]>([
    ["as /", {}],
    ["beneath", { beneath: true }],
    ["with kept directories", { cachedDirectories: 4 }],
  ])("never leads out (%s)", async (_, options) => {
    using safe = SafeRoot.open(root, options);
    const outcomes = new Map<string, number>();
    const secret = statSync(join(outside, "secret")).ino;
    const created = new Map<string, number>();
    // Goes on until both were met: the directory, and the link in its place.
    for (let round = 0; round < ROUNDS || created.size < 2; round += 1) {
      const name = `a/swap/${round}`;
      attempt(() => closeSync(safe.createFile(name, 0o644)), created);
      attempt(() => safe.mkdirs(`a/swap/new-${round}/deep`), outcomes);
      attempt(() => safe.symlink("x", `a/swap/deep/l${round}`), outcomes);
      attempt(() => safe.chmod("a/swap/secret", 0o600 + (round % 8)), outcomes);
      attempt(() => safe.rename(name, `a/swap/deep/${round}`), outcomes);
      attempt(() => safe.unlink(`a/swap/deep/${round}`), outcomes);
      attempt(() => {
        const fd = safe.openFile("a/swap/secret", OpenFlag.RDONLY);
        const { ino } = fstatSync(fd);
        closeSync(fd);
        expect(ino).not.toBe(secret);
      }, outcomes);
    }
    stop[0] = 1;
    expect(await message()).toBeGreaterThan(0);
    expect([...created.keys()]).toEqual(
      expect.arrayContaining(["done", options.beneath === true ? "EXDEV" : "ENOENT"]),
    );
    expect(readdirSync(outside).toSorted()).toEqual(["deep", "secret"]);
    expect(readdirSync(join(outside, "deep"))).toEqual([]);
    expect(statSync(join(outside, "secret")).mode & 0o777).toBe(0o644);
  });

  it("removes the tree and nothing outside", async () => {
    using safe = SafeRoot.open(root);
    for (let round = 0; round < ROUNDS; round += 1) {
      try {
        await safe.removeTree("a/swap");
      } catch (error) {
        expect(error).toBeInstanceOf(SysError);
      }
      if (!existsSync(join(root, "a/link")) || !existsSync(join(root, "a/swap"))) break;
    }
    await stopSwapping();
    expect(readdirSync(outside).toSorted()).toEqual(["deep", "secret"]);
  });
});
