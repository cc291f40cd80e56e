import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { changed } from "../fixtures/changed.ts";
import { ContainerHarness, never, output, shell } from "./container-harness.ts";

let directory: string;
let harness: ContainerHarness;
beforeAll(() => {
  directory = mkdtempSync("/run/nacre-exec-");
  const runtime = join(directory, "runtime");
  // The process of an exec runs, and its number is told when the test lets it be: runc may be held up there, too.
  writeFileSync(
    runtime,
    `#!/bin/sh
verb= previous=
for word; do
  case $word in exec) verb=$word ;; esac
  [ "$previous" = --pid-file ] && file=$word
  previous=$word
done
[ "$verb" = exec ] && [ -e ${directory}/slow ] || exec /usr/sbin/runc "$@"
/usr/sbin/runc "$@" || exit
mv "$file" "$file.held"
echo > ${directory}/runs
read line < ${directory}/go
mv "$file.held" "$file"
`,
  );
  chmodSync(runtime, 0o755);
  harness = new ContainerHarness({ runtime });
});
afterAll(async () => {
  expect(await harness.close()).toEqual([]);
  rmSync(directory, { recursive: true });
});

it("an exec whose caller goes while the runtime tells of its process leaves none behind", async () => {
  const container = await harness.run("sleep 1000");
  writeFileSync(join(directory, "slow"), "");
  execFileSync("/usr/bin/mkfifo", [join(directory, "go")]);
  const gone = new AbortController();
  const exec = container.exec({ execId: "e1", process: shell("sleep 1000"), signal: gone.signal });
  const refused = expect(exec).rejects.toThrow("client gone");
  await changed(directory, () => existsSync(join(directory, "runs")));
  gone.abort(new Error("client gone"));
  // Opened for both, it waits for nobody.
  await using go = await open(join(directory, "go"), "r+");
  await go.write("\n");
  await refused;
  expect(harness.processes()).toEqual([`process ${container.init.pid}`]);
  expect(container.process("e1")).toBeUndefined();
  rmSync(join(directory, "slow"));
  const next = await container.exec({ execId: "e1", process: shell("echo next") });
  expect(await output(next)).toBe("next\n");
  expect(await container.wait("e1", never())).toBe(0);
  await harness.manager.remove(container.id, { timeoutMs: 0 });
});
