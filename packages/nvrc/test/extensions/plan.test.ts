import { mkdirSync, mkdtempDisposableSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { extensionDevices } from "../../src/extensions/devices.ts";
import { mappedDevice, verityArgv } from "../../src/extensions/open.ts";
import { parsePins, readPins } from "../../src/extensions/pins.ts";
import { type PlannedExtension, planExtensions } from "../../src/extensions/plan.ts";
import { requestedExtensions } from "../../src/extensions/requested.ts";

const verity = (digit: string): string =>
  `root_hash=${digit.repeat(64)},salt=0011,data_blocks=8,data_block_size=4096,hash_block_size=4096`;
const pins = (names: Readonly<Record<string, readonly string[]>>): string =>
  JSON.stringify({ schema_version: 1, extensions: names });

let sysfs: ReturnType<typeof mkdtempDisposableSync>;
beforeEach(() => {
  sysfs = mkdtempDisposableSync(join(tmpdir(), "sysfs-"));
});
afterEach(() => {
  sysfs.remove();
});

/** A disk as the kernel describes it, with partitions 1 and 2 unless others are given. */
function disk(name: string, serial: string | undefined, partitions: readonly number[] = [1, 2]): void {
  const folder = join(sysfs.path, "block", name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "size"), "100\n");
  if (serial !== undefined) writeFileSync(join(folder, "serial"), serial);
  for (const number of partitions) {
    mkdirSync(join(folder, `${name}${number}`));
    writeFileSync(join(folder, `${name}${number}`, "partition"), `${number}\n`);
  }
}

function plan(line: string, pinned: string): readonly PlannedExtension[] {
  return planExtensions(extensionDevices(sysfs.path), requestedExtensions(line), parsePins(pinned));
}

describe("extensions", () => {
  it("are opened where disk, parameters and pin agree", () => {
    disk("vda", undefined);
    disk("vdb", "extension-gpu\n");
    disk("vdc", "extension-coco");
    const line = `quiet kata.extension.gpu.verity_params=${verity("a")} kata.extension.coco.verity_params=${verity("b")}`;
    const planned = plan(line, pins({ coco: [verity("c"), verity("b")], gpu: [verity("a")], devkit: [verity("d")] }));
    expect(planned.map(({ name, data, hash, params }) => [name, data, hash, params.rootHash[0]])).toEqual([
      ["gpu", "vdb1", "vdb2", "a"],
      ["coco", "vdc1", "vdc2", "b"],
    ]);
  });

  it("are none in a guest without any, also where sysfs has no disks at all", () => {
    expect(plan("quiet", pins({}))).toEqual([]);
  });

  it("without parameters end the guest", () => {
    disk("vdb", "extension-gpu");
    expect(() => plan("quiet", pins({ gpu: [verity("a")] }))).toThrow(
      "extension gpu: expected verity parameters for vdb, got none",
    );
  });

  it("with a bare key end the guest", () => {
    disk("vdb", "extension-gpu");
    expect(() => plan("kata.extension.gpu.verity_params", pins({ gpu: [verity("a")] }))).toThrow(
      "kata.extension.gpu.verity_params: expected a value, got none",
    );
  });

  it("with parameters alone end the guest", () => {
    expect(() => plan(`kata.extension.gpu.verity_params=${verity("a")}`, pins({ gpu: [verity("a")] }))).toThrow(
      "extension gpu: expected one disk for its verity parameters, got none",
    );
  });

  it("on two disks end the guest", () => {
    disk("vdb", "extension-gpu");
    disk("vdc", "extension-gpu");
    expect(() => plan(`kata.extension.gpu.verity_params=${verity("a")}`, pins({ gpu: [verity("a")] }))).toThrow(
      "extension gpu: expected one disk for its verity parameters, got vdb and vdc",
    );
  });

  it.each([
    ["of another root hash", { gpu: [verity("b")] }],
    ["of another salt", { gpu: [verity("a").replace("0011", "0012")] }],
    ["of another length", { gpu: [verity("a").replace("blocks=8", "blocks=9")] }],
    ["under another name", { coco: [verity("a")] }],
    ["not at all", {}],
  ])("pinned %s end the guest", (_, names) => {
    disk("vdb", "extension-gpu");
    expect(() => plan(`kata.extension.gpu.verity_params=${verity("a")}`, pins(names))).toThrow(
      `extension gpu: expected a root hash that the base image pins, got ${"a".repeat(64)}`,
    );
  });

  it("without a hash partition end the guest", () => {
    disk("vdb", "extension-gpu", [1, 3]);
    expect(() => plan(`kata.extension.gpu.verity_params=${verity("a")}`, pins({ gpu: [verity("a")] }))).toThrow(
      "extension gpu: expected partitions 1 and 2 on vdb, got 1, 3",
    );
  });

  it("asked for twice end the guest", () => {
    const one = `kata.extension.gpu.verity_params=${verity("a")}`;
    expect(() => requestedExtensions(`${one} ${one}`)).toThrow("expected once, got twice");
  });

  it("are asked for by whole parameters only, not from inside quotes", () => {
    const line = `x="kata.extension.gpu.verity_params=${verity("a")} y" kata.extension.gpu.other=1`;
    expect(requestedExtensions(line).size).toBe(0);
  });

  it.each(["..", ".", "a/b", "a b", "", "a+b", "a".repeat(65)])("of the name %j end the guest", (name) => {
    const message = `extension: expected a name of letters, digits, _ . -, got ${JSON.stringify(name)}`;
    disk("vdb", `extension-${name}`);
    expect(() => extensionDevices(sysfs.path)).toThrow(message);
    expect(() => parsePins(pins({ [name]: [] }))).toThrow(message);
    if (!name.includes(" ")) {
      expect(() => requestedExtensions(`kata.extension.${name}.verity_params=${verity("a")}`)).toThrow(message);
    }
  });
});

describe("the pins", () => {
  it("are none where the base has no such file", () => {
    expect(readPins(join(sysfs.path, "extensions.json")).size).toBe(0);
  });

  it.each([
    ["{", "expected JSON"],
    ["[]", "expected an object"],
    ["null", "expected an object"],
    ['{"extensions": {}}', "expected schema_version 1"],
    ['{"schema_version": 2, "extensions": {}}', "expected schema_version 1"],
    ['{"schema_version": 1}', "expected extensions to be an object"],
    ['{"schema_version": 1, "extensions": {}, "any": true}', 'expected no key "any"'],
    ['{"schema_version": 1, "extensions": {"gpu": "x"}}', "expected extensions.gpu to be a list"],
    ['{"schema_version": 1, "extensions": {"gpu": [1]}}', "expected texts in extensions.gpu"],
    ['{"schema_version": 1, "extensions": {"gpu": ["root_hash=1"]}}', "pins: gpu: expected root_hash of"],
  ])("refuse %s", (text, message) => {
    expect(() => parsePins(text, "pins")).toThrow(message);
  });
});

describe("opening", () => {
  it("starts veritysetup with the pinned parameters, and corruption ends the guest", () => {
    disk("vdb", "extension-gpu");
    const [extension] = plan(`kata.extension.gpu.verity_params=${verity("a")}`, pins({ gpu: [verity("a")] }));
    expect(extension === undefined ? undefined : verityArgv(extension)).toEqual([
      "/usr/sbin/veritysetup",
      "open",
      "--no-superblock",
      "--panic-on-corruption",
      "--hash",
      "sha256",
      "--data-block-size",
      "4096",
      "--hash-block-size",
      "4096",
      "--data-blocks",
      "8",
      "--salt",
      "0011",
      "/dev/vdb1",
      "extension-gpu",
      "/dev/vdb2",
      "a".repeat(64),
    ]);
  });

  it("finds the mapped device by its name", () => {
    for (const [device, name] of [
      ["dm-0", "verity"],
      ["dm-1", "extension-gpu"],
    ] as const) {
      mkdirSync(join(sysfs.path, "block", device, "dm"), { recursive: true });
      writeFileSync(join(sysfs.path, "block", device, "dm/name"), `${name}\n`);
    }
    disk("vda", undefined);
    expect(mappedDevice("extension-gpu", sysfs.path)).toBe("dm-1");
    expect(() => mappedDevice("extension-coco", sysfs.path)).toThrow("extension-coco: expected a mapped device");
  });
});
