import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { build } from "esbuild";
import { expect, it } from "vitest";

import { builtins } from "../../guest-rootfs/builtins.ts";

/** Bundles a program as the guest's are bundled and runs it; its standard output as JSON. */
async function run(program: string): Promise<unknown> {
  const folder = mkdtempSync(join(tmpdir(), "builtins-"));
  try {
    writeFileSync(join(folder, "in.mjs"), program);
    await build({
      entryPoints: [join(folder, "in.mjs")],
      outfile: join(folder, "out.mjs"),
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node24",
      minifySyntax: true,
      plugins: [builtins],
    });
    const { stdout, stderr } = spawnSync(process.execPath, [join(folder, "out.mjs")], { encoding: "utf8" });
    expect(stderr).toBe("");
    return JSON.parse(stdout);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

it("gives a bundle what it imports, by name, whole and later", async () => {
  const program = `
    import { writeSync, constants } from "node:fs";
    import { readFile, mkdtemp, rm, writeFile, access, lstat, open } from "node:fs/promises";
    import * as path from "node:path";
    import events, { once } from "node:events";
    const folder = await mkdtemp("/tmp/builtins-in-");
    const file = path.join(folder, "a");
    await writeFile(file, "text", { mode: 0o600 });
    const gone = await access(file + "x").catch((error) => error.code);
    const { createHash } = await import("node:crypto");
    const handle = await open(file);
    const result = {
      text: await readFile(file, "utf8"), mode: (await lstat(file)).mode & 0o777, gone, fd: typeof handle.fd,
      once: once === events.once, flag: constants.O_RDONLY,
      hash: createHash("sha256").update("").digest("hex").slice(0, 8),
    };
    await handle.close();
    await rm(folder, { recursive: true });
    writeSync(1, JSON.stringify(result));`;
  expect(await run(program)).toEqual({
    text: "text",
    mode: 0o600,
    gone: "ENOENT",
    fd: "number",
    once: true,
    flag: 0,
    hash: "e3b0c442",
  });
});

it("loads nothing of Node that the bundle does not use", async () => {
  const program = `
    import { writeSync } from "node:fs";
    import { readFile } from "node:fs/promises";
    import { createHash } from "node:crypto";
    import { connect } from "node:net";
    createHash("sha256"); await readFile("/dev/null"); typeof connect;
    const wanted = ["internal/crypto/webcrypto", "internal/blocklist", "internal/readline/interface", "fs/promises"];
    writeSync(1, JSON.stringify(wanted.filter((name) => process.moduleLoadList.includes("NativeModule " + name))));`;
  expect(await run(program)).toEqual([]);
});
