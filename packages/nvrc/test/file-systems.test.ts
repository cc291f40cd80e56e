import { describe, expect, it } from "vitest";

import { hasFileSystem } from "../src/file-systems.ts";
import { Random } from "./random.ts";

const LIST = "nodev\tsysfs\nnodev\ttmpfs\n\text4\nnodev\tconfigfs\n";

describe("hasFileSystem", () => {
  it.each([
    ["configfs", true],
    ["ext4", true],
    ["config", false],
    ["configfs2", false],
    ["nodev", false],
    ["", false],
    ["sysfs\nnodev\ttmpfs", false],
  ])("%j: %s", (type, expected) => {
    expect(hasFileSystem(LIST, type)).toBe(expected);
  });

  it("never finds a type in a list that has it not, and always in one that has", () => {
    const random = new Random(1);
    const pieces = ["nodev", "\t", " ", "\n", "sys", "fs", "\0", "é"];
    for (let round = 0; round < 10_000; round++) {
      const list = Array.from({ length: random.below(12) }, () => random.pick(pieces)).join("");
      expect(hasFileSystem(list, "configfs")).toBe(false);
      expect(hasFileSystem(`${list}\nnodev\tconfigfs\n${list}`, "configfs")).toBe(true);
    }
  });
});
