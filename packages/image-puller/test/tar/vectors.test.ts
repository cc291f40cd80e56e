import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { vectors } from "../../../../test/setup/data.ts";
import { tar } from "../../../../test/fixtures/tar.ts";
import { PullError } from "../../src/index.ts";
import { list } from "./list.ts";

const root = vectors("tar");

/** Archives of node-tar and tar-stream that must be refused, and why. Every other one must be read. */
const REFUSED: Readonly<Record<string, string>> = {
  "tar-stream/incomplete.tar": "ends in the middle of a member",
  "tar-stream/invalid.tgz": "not a number",
  "node-tar/excessively-deep.tar": "longer than 4096",
  "node-tar/sync-gzip-fail.tgz": "",
  "node-tar/tars/bad-cksum.tar": "checksum",
};

describe("archives of node-tar and tar-stream", () => {
  if (root === undefined) {
    it("are absent; an archive of our own is read", () => {
      expect(list(tar([{ name: "f", data: "x" }]))).toMatchObject([{ name: "f", data: "x" }]);
    });
    return;
  }
  const files = (readdirSync(root, { recursive: true }) as string[])
    .filter((path) => statSync(join(root, path)).isFile())
    .toSorted();

  it("are all there", () => {
    expect(files.length).toBeGreaterThanOrEqual(39);
    for (const path of Object.keys(REFUSED)) expect(files).toContain(path);
  });

  it.each(files)("%s", (path) => {
    const archive = readFileSync(join(root, path));
    const why = REFUSED[path];
    if (why !== undefined) {
      expect(() => list(archive)).toThrow(PullError);
      expect(() => list(archive)).toThrow(why);
      return;
    }
    expect(list(archive, 100)).toEqual(list(archive));
  });

  const read = (path: string): unknown[] => list(readFileSync(join(root, path)));

  it("are read as their authors say", () => {
    expect(read("tar-stream/one-file.tar")).toMatchObject([
      { name: "test.txt", type: "0", mode: 0o644, data: "hello world\n" },
    ]);
    expect(read("tar-stream/base-256-uid-gid.tar")).toMatchObject([{ uid: 116435139, gid: 1876110778 }]);
    expect(read("tar-stream/pax.tar")).toMatchObject([{ name: "pax.txt", data: "hello world\n" }]);
    expect(read("tar-stream/types.tar")).toMatchObject([
      { name: "directory", type: "5" },
      { name: "directory-link", type: "2", link: "directory" },
    ]);
    expect(read("tar-stream/long-name.tar")).toMatchObject([{ data: "hello long name\n" }]);
  });
});
