import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { build } from "esbuild";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { koffiNativePath, NATIVE_NAME } from "../scripts/koffi-native.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "sys-bundle-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

/** Bundles a program as the guest's daemons are and runs it in a folder that has no node_modules. */
async function bundled(source: string): Promise<{ stdout: string; stderr: string; status: number | null }> {
  const entry = join(folder, "entry.ts");
  const bundle = join(folder, "daemon.mjs");
  const sources = new URL("../src/index.ts", import.meta.url).pathname;
  writeFileSync(entry, `import * as sys from ${JSON.stringify(sources)};\n${source}`);
  await build({
    entryPoints: [entry],
    outfile: bundle,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node24",
    conditions: ["source"],
  });
  rmSync(entry);
  return spawnSync(process.execPath, [bundle], { cwd: folder, encoding: "utf8", env: {} });
}

describe("a bundle of this package", () => {
  it("runs with nothing but koffi's native module beside it", async () => {
    copyFileSync(koffiNativePath(), join(folder, NATIVE_NAME));
    const result = await bundled(`
      const port = sys.linuxSyscalls();
      const [read, write] = port.pipe2();
      port.write(write, Buffer.from("through the kernel"));
      const reader = new sys.FdReader(read, port);
      console.log(String(await reader.read(100)), port.statx(-100, "/").mode & 0o40000);
      await port.umount2("/nothing/there").catch((error) => console.log(error.code));
      reader.close();
    `);
    expect(result).toMatchObject({ stderr: "", stdout: "through the kernel 16384\nENOENT\n", status: 0 });
  });

  it("says what is missing without it, and runs what needs no system call", async () => {
    const result = await bundled(`
      console.log(sys.parseMountOptions(["ro"]).flags);
      try {
        sys.linuxSyscalls().pipe2();
      } catch (error) {
        console.log(error.code, error.message);
      }
    `);
    const message = `koffi: expected ${join(folder, NATIVE_NAME)} or the package, got neither`;
    expect(result).toMatchObject({ stderr: "", stdout: `1\nnative ${message}\n`, status: 0 });
  });
});
