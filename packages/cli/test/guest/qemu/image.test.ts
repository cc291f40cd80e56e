import { mkdtempDisposableSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { parseImage, readImage } from "../../../src/guest/qemu/image.ts";

const IMAGE = {
  flavour: "devkit",
  arch: "x86_64",
  kernel: "vmlinuz",
  kernelRelease: "6.1.0",
  initramfs: "stage1.cpio",
  disk: "kata-containers.img",
  commandLine: "console=ttyS0",
  rootHash: "00",
  sha256: {},
};

describe("image.json", () => {
  it("names files beside it; what is for others is passed over", () => {
    expect(parseImage(JSON.stringify(IMAGE), "/images/devkit")).toEqual({
      flavour: "devkit",
      arch: "x86_64",
      kernel: "/images/devkit/vmlinuz",
      initramfs: "/images/devkit/stage1.cpio",
      disk: "/images/devkit/kata-containers.img",
      commandLine: "console=ttyS0",
      extensions: {},
    });
    const extensions = { devkit: { disk: "extension-devkit.img", verityParams: "root_hash=00,salt=11" } };
    expect(parseImage(JSON.stringify({ ...IMAGE, extensions }), "/images/devkit").extensions).toEqual({
      devkit: { disk: "/images/devkit/extension-devkit.img", verityParams: "root_hash=00,salt=11" },
    });
  });

  it("may do without an initramfs", () => {
    const { initramfs: _none, ...rest } = IMAGE;
    expect(parseImage(JSON.stringify(rest), "/images/devkit").initramfs).toBeUndefined();
  });

  it.each([
    ["no JSON", "{", "expected JSON"],
    ["no object", "[]", "expected an object"],
    ["no kernel", JSON.stringify({ ...IMAGE, kernel: undefined }), "kernel: expected a text"],
    ["a number", JSON.stringify({ ...IMAGE, commandLine: 1 }), "commandLine: expected a text"],
    ["a path", JSON.stringify({ ...IMAGE, disk: "../x" }), "disk: expected the name of a file beside it"],
    ["an absolute path", JSON.stringify({ ...IMAGE, initramfs: "/etc/passwd" }), "initramfs: expected the name"],
    [
      "an extension with a path",
      JSON.stringify({ ...IMAGE, extensions: { a: { disk: "../x", verityParams: "a=b" } } }),
      "extensions.a.disk: expected the name of a file",
    ],
    [
      "an extension's name that is none",
      JSON.stringify({ ...IMAGE, extensions: { "a b": {} } }),
      "extensions.a b: expected a plain name",
    ],
    [
      "parameters with a second one",
      JSON.stringify({ ...IMAGE, extensions: { a: { disk: "x", verityParams: "a=b init=/x" } } }),
      "extensions.a.verityParams: expected parameters",
    ],
    ["a hidden file", JSON.stringify({ ...IMAGE, kernel: ".." }), "kernel: expected the name"],
  ])("refuses %s", (_what, text, message) => {
    expect(() => parseImage(text, "/images/devkit")).toThrow(message);
  });

  it("that is not there, or names what is not there, says what to do", () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "nacre-image-"));
    expect(() => readImage(folder.path)).toThrow("run `make rootfs`");
    writeFileSync(join(folder.path, "image.json"), JSON.stringify(IMAGE));
    expect(() => readImage(folder.path)).toThrow(`expected a file ${join(folder.path, "vmlinuz")}`);
  });
});
