import { resolve } from "node:path";

import { build } from "esbuild";
import { expect, it } from "vitest";

/** The agent as the guest's build makes it for a flavour. */
async function bundle(flavour: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [resolve(import.meta.dirname, "../../src/main.ts")],
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node24",
    conditions: ["source"],
    minifySyntax: true,
    define: { NACRE_FLAVOUR: JSON.stringify(flavour) },
    write: false,
  });
  return outputFiles[0]?.text ?? "";
}

const TRACES = ["--become-shell", "/bin/sh", "devkit-sh", "/dev/console"];

it.each(["kata", "strict"])("the %s flavour has no code of a debug console", async (flavour) => {
  const text = await bundle(flavour);
  expect(TRACES.filter((trace) => text.includes(trace))).toEqual([]);
});

it("the devkit flavour has it", async () => {
  const text = await bundle("devkit");
  expect(TRACES.filter((trace) => text.includes(trace))).toEqual(TRACES);
});
