import { chmodSync, mkdtempDisposableSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { helperRunner } from "../src/helper.ts";
import { Log } from "../src/log.ts";

let folder: ReturnType<typeof mkdtempDisposableSync>;
beforeAll(() => {
  folder = mkdtempDisposableSync(join(tmpdir(), "helper-"));
});
afterAll(() => {
  folder.remove();
});

function program(name: string, script: string): string {
  const path = join(folder.path, name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

const quiet = new Log(() => {}, "off");

describe("helperRunner", () => {
  it("runs a program to its end, with a path as its whole environment", async () => {
    const told: string[] = [];
    const run = helperRunner(new Log((_priority, text) => told.push(text), "debug"));
    await run([program("good", 'echo "$#:$1:$2:$PATH:$HOME"'), "a b", ";c"]);
    expect(told.at(-1)).toBe("NVRC 2:a b:;c:/usr/sbin:/usr/bin:/sbin:/bin:");
  });

  it("names the program, its end and its last words", async () => {
    const path = program("bad", 'echo "Device /dev/vdb2 is\nnot valid." >&2; exit 2');
    await expect(helperRunner(quiet)([path])).rejects.toMatchObject({
      code: "helper",
      message: `${path}: expected status 0, got status 2: Device /dev/vdb2 is not valid.`,
    });
  });

  it("names a program that is not there", async () => {
    await expect(helperRunner(quiet)(["/no/such"])).rejects.toMatchObject({ message: "start /no/such" });
  });

  it("ends one that does not end, even where a child of it holds its output open", async () => {
    const told: string[] = [];
    const log = new Log((_priority, text) => told.push(text), "debug");
    const path = program("slow", "sleep 600 & echo child $!; exec sleep 600");
    // Long enough for it to have said what it started.
    await expect(helperRunner(log, 5000)([path])).rejects.toThrow(
      /slow: expected status 0, got signal SIGKILL after 5000 ms without an end/u,
    );
    const child = Number(/child (\d+)/u.exec(told.join("\n"))?.[1]);
    // It was there all the time, and the test leaves nothing.
    process.kill(child, "SIGKILL");
  });

  it("reads on when a program says more than a pipe holds", async () => {
    await helperRunner(quiet)([
      program("loud", "i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); done"),
    ]);
  });
});
