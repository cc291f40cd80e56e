import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { InstalledFiles } from "../../src/kata/installed-files.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "nacre-install-"));
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

const FILES = [
  { path: "/etc/kata/one.toml", content: "one\n" },
  { path: "/etc/containerd/conf.d/two.toml", content: "two\n" },
];
const NOW = { replace: false, dryRun: false };
const GONE = { force: false, dryRun: false };
const install = (files = FILES, options = NOW): string[] =>
  new InstalledFiles(root).install(files, options).map(({ path, action }) => `${action} ${path}`);
const uninstall = (options = GONE): string[] =>
  new InstalledFiles(root).uninstall(options).map(({ path, action }) => `${action} ${path}`);
const put = (path: string, content: string): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
};
const read = (path: string): string => readFileSync(join(root, path), "utf8");
/** Every file and folder below the root. */
const all = (): string[] => (readdirSync(root, { recursive: true }) as string[]).sort();

describe("installed files", () => {
  it("are written, found unchanged, updated and taken back without a trace", () => {
    mkdirSync(join(root, "etc"));
    expect(install()).toEqual(["write /etc/kata/one.toml", "write /etc/containerd/conf.d/two.toml"]);
    expect(read("/etc/kata/one.toml")).toBe("one\n");
    expect(statSync(join(root, "/etc/kata/one.toml")).mode & 0o777).toBe(0o644);
    const before = all();
    expect(install()).toEqual(["unchanged /etc/kata/one.toml", "unchanged /etc/containerd/conf.d/two.toml"]);
    expect(install([{ path: "/etc/kata/one.toml", content: "one, later\n" }])).toEqual(["update /etc/kata/one.toml"]);
    expect(all()).toEqual(before);
    expect(uninstall()).toEqual(["remove /etc/containerd/conf.d/two.toml", "remove /etc/kata/one.toml"]);
    // The folder that was there stays; those that were made are gone.
    expect(all()).toEqual(["etc"]);
    expect(uninstall()).toEqual([]);
  });

  it("never take the place of somebody else's, and then change nothing at all", () => {
    put("/etc/containerd/conf.d/two.toml", "somebody's\n");
    const before = all();
    expect(() => install()).toThrow("two.toml is not ours; --replace takes its place");
    expect(all()).toEqual(before);
    expect(read("/etc/containerd/conf.d/two.toml")).toBe("somebody's\n");
  });

  it("bring back what they replaced, also after several installations", () => {
    put("/etc/containerd/conf.d/two.toml", "somebody's\n");
    const before = all();
    expect(install(FILES, { ...NOW, replace: true })).toEqual([
      "write /etc/kata/one.toml",
      "replace /etc/containerd/conf.d/two.toml",
    ]);
    expect(read("/etc/containerd/conf.d/two.toml")).toBe("two\n");
    install([{ path: "/etc/containerd/conf.d/two.toml", content: "two, later\n" }]);
    install(FILES, { ...NOW, replace: true });
    expect(uninstall()).toContain("restore /etc/containerd/conf.d/two.toml");
    expect(read("/etc/containerd/conf.d/two.toml")).toBe("somebody's\n");
    expect(all()).toEqual(before);
  });

  it("are not overwritten once somebody edited them, nor removed", () => {
    install();
    put("/etc/kata/one.toml", "edited\n");
    expect(() => install()).toThrow("one.toml was changed since it was written");
    expect(uninstall()).toEqual(["keep /etc/kata/one.toml", "remove /etc/containerd/conf.d/two.toml"]);
    expect(read("/etc/kata/one.toml")).toBe("edited\n");
    expect(existsSync(join(root, "etc/containerd"))).toBe(true);
    // It is still known, so that it can be taken away in the end.
    expect(new InstalledFiles(root).paths).toEqual(["/etc/kata/one.toml"]);
    expect(uninstall({ ...GONE, force: true })).toEqual(["remove /etc/kata/one.toml"]);
    expect(all()).toEqual([]);
  });

  it("are written anew with replace, the edited text lost and the first one still restored", () => {
    put("/etc/kata/one.toml", "first\n");
    install(FILES, { ...NOW, replace: true });
    put("/etc/kata/one.toml", "edited\n");
    expect(install(FILES, { ...NOW, replace: true })[0]).toBe("update /etc/kata/one.toml");
    uninstall();
    expect(read("/etc/kata/one.toml")).toBe("first\n");
  });

  it("may have been removed by hand", () => {
    install();
    rmSync(join(root, "/etc/kata/one.toml"));
    expect(uninstall()).toEqual(["absent /etc/kata/one.toml", "remove /etc/containerd/conf.d/two.toml"]);
    expect(all()).toEqual([]);
  });

  it("are only told of in a dry run", () => {
    put("/etc/kata/one.toml", "somebody's\n");
    const before = all();
    expect(install(FILES, { replace: true, dryRun: true })).toEqual([
      "replace /etc/kata/one.toml",
      "write /etc/containerd/conf.d/two.toml",
    ]);
    expect(all()).toEqual(before);
    install(FILES, { ...NOW, replace: true });
    const installed = all();
    expect(uninstall({ ...GONE, dryRun: true })).toContain("restore /etc/kata/one.toml");
    expect(all()).toEqual(installed);
  });

  it("survive an installation that was cut off between manifest and files", () => {
    put("/etc/kata/one.toml", "somebody's\n");
    install(FILES, { ...NOW, replace: true });
    const manifest = read("/var/lib/nacre/kata/manifest.json");
    // As it was when the first file had been moved aside and the second not written.
    rmSync(join(root, "/etc/containerd/conf.d/two.toml"));
    rmSync(join(root, "/etc/kata/one.toml"));
    expect(read("/var/lib/nacre/kata/manifest.json")).toBe(manifest);
    expect(install()).toEqual(["write /etc/kata/one.toml", "write /etc/containerd/conf.d/two.toml"]);
    uninstall();
    expect(read("/etc/kata/one.toml")).toBe("somebody's\n");
  });

  it("refuse what is no plain file in their place", () => {
    mkdirSync(join(root, "etc/kata/one.toml"), { recursive: true });
    expect(() => install(FILES, { ...NOW, replace: true })).toThrow("expected a plain file or nothing");
    rmSync(join(root, "etc/kata/one.toml"), { recursive: true });
    symlinkSync("/etc/passwd", join(root, "etc/kata/one.toml"));
    expect(() => install(FILES, { ...NOW, replace: true })).toThrow("expected a plain file or nothing");
  });

  it("are not guessed from a manifest that is none", () => {
    install();
    for (const text of [
      "",
      "{}",
      '{"version":2,"files":[],"folders":[]}',
      '{"version":1,"files":[{"path":"../x"}],"folders":[]}',
    ]) {
      put("/var/lib/nacre/kata/manifest.json", text);
      expect(() => uninstall()).toThrow("expected the manifest of an installation");
    }
  });
});
