import { build, type BuildResult } from "esbuild";
import { describe, expect, it } from "vitest";

import { ENTRIES } from "../../guest-rootfs/bundle.ts";
import { ROOT } from "../../guest-rootfs/paths.ts";

/** What only the devkit flavour may have, by texts that whatever does it cannot do without. */
const DEBUGGER = ["nacre.inspect", "inspector-relay", "node:inspector"];
/** The way in beside vsock, which init serves. */
const BRIDGE = ["nacre.bridge", "serial-bridge"];
/** Where unbound initdata may be used. */
const SIMULATED = ["/usr/share/nacre/simulated"];
const DAEMONS = ENTRIES.filter(({ program }) => program);

async function built(source: string, flavour: string): Promise<BuildResult<{ write: false; metafile: true }>> {
  return await build({
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
    metafile: true,
  });
}

async function bundled(source: string, flavour: string): Promise<string> {
  return (await built(source, flavour)).outputFiles[0]?.text ?? "";
}

describe.each(DAEMONS)("$name", ({ source }) => {
  it.each(["kata", "strict"])("has no debugger in the %s flavour", async (flavour) => {
    const text = await bundled(source, flavour);
    expect(text.length).toBeGreaterThan(10_000);
    expect([...DEBUGGER, ...BRIDGE, ...SIMULATED].filter((part) => text.includes(part))).toEqual([]);
  });

  it("has one in the devkit flavour, by which the others are looked through", async () => {
    const text = await bundled(source, "devkit");
    expect(DEBUGGER.slice(0, 2).filter((part) => !text.includes(part))).toEqual([]);
  });
});

it.each([
  ["devkit", true],
  ["kata", true],
  ["strict", false],
] as const)("the attestation agent of the flavour %s makes sample evidence: %s", async (flavour, makes) => {
  const { metafile } = await built("packages/attestation-agent/src/main.ts", flavour);
  const [output] = Object.values(metafile.outputs);
  const sample = output?.inputs["packages/attesters/src/sample.ts"]?.bytesInOutput ?? 0;
  expect(sample > 0).toBe(makes);
  expect(output?.inputs["packages/attesters/src/snp/attester.ts"]?.bytesInOutput).toBeGreaterThan(0);
});
