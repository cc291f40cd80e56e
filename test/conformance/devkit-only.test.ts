import { build } from "esbuild";
import { describe, expect, it } from "vitest";

import { ENTRIES } from "../../guest-rootfs/bundle.ts";
import { ROOT } from "../../guest-rootfs/paths.ts";

/** What only the devkit flavour may have, by texts that whatever does it cannot do without. */
const DEBUGGER = ["nacre.inspect", "inspector-relay", "node:inspector"];
/** The way in beside vsock, which init serves. */
const BRIDGE = ["nacre.bridge", "serial-bridge"];
const DAEMONS = ENTRIES.filter(({ program }) => program);

async function bundled(source: string, flavour: string): Promise<string> {
  const result = await build({
    absWorkingDir: ROOT,
    entryPoints: [source],
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    target: "node24",
    conditions: ["source"],
    minifySyntax: true,
    define: { NACRE_FLAVOUR: JSON.stringify(flavour) },
  });
  return result.outputFiles[0]?.text ?? "";
}

describe.each(DAEMONS)("$name", ({ source }) => {
  it.each(["kata", "strict"])("has no debugger in the %s flavour", async (flavour) => {
    const text = await bundled(source, flavour);
    expect(text.length).toBeGreaterThan(10_000);
    expect([...DEBUGGER, ...BRIDGE].filter((part) => text.includes(part))).toEqual([]);
  });

  it("has one in the devkit flavour, by which the others are looked through", async () => {
    const text = await bundled(source, "devkit");
    expect(DEBUGGER.slice(0, 2).filter((part) => !text.includes(part))).toEqual([]);
  });
});
