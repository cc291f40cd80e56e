import { describe, expect, it } from "vitest";

import { parseRootHash } from "../../src/kata/root-hash.ts";

const HASH = "0123456789abcdef".repeat(4);
const GOOD = `root_hash=${HASH},salt=${"ab".repeat(32)},data_blocks=30121,data_block_size=4096,hash_block_size=4096`;

describe("parseRootHash", () => {
  it("gives back the one line that the runtime takes", () => {
    expect(parseRootHash(`${GOOD}\n`, "f")).toBe(GOOD);
    expect(parseRootHash(GOOD, "f")).toBe(GOOD);
  });

  it.each([
    ["", "expected root_hash, salt"],
    [`${GOOD}\n${GOOD}`, "expected one line"],
    [`${GOOD},salt=ab`, "expected salt once"],
    [`${GOOD},extra=1`, "expected root_hash, salt, data_blocks, data_block_size, hash_block_size, got"],
    [GOOD.replace("salt=", "Salt="), "expected root_hash, salt"],
    [GOOD.replace(`,salt=${"ab".repeat(32)}`, ""), "expected salt, which is missing"],
    [GOOD.replace(HASH, HASH.slice(1)), "root_hash: expected 64 hexadecimal digits"],
    [GOOD.replace("salt=ab", "salt=a"), "salt: expected whole bytes"],
    [GOOD.replace("data_blocks=30121", "data_blocks=0"), "data_blocks: expected a whole number above 0"],
    [GOOD.replace("data_block_size=4096", "data_block_size=1000"), "data_block_size: expected a multiple of 512"],
    [GOOD.replace("hash_block_size=4096", "hash_block_size=4k"), "hash_block_size: expected a whole number"],
    [`${GOOD}" init=/bin/sh x="`, "expected root_hash, salt"],
    ["x".repeat(5000), "expected one line"],
  ])("refuses %j", (text, message) => {
    expect(() => parseRootHash(text, "/srv/root_hash_kata.txt")).toThrow("root hash file /srv/root_hash_kata.txt: ");
    expect(() => parseRootHash(text, "f")).toThrow(message);
  });
});
