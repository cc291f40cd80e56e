import { describe, expect, it } from "vitest";

import { MAX_VERITY_TEXT, parseVerityParams, verityParamsText } from "../../src/extensions/verity-params.ts";
import { Random } from "../random.ts";

const ROOT = "ab".repeat(32);
const GOOD = `root_hash=${ROOT},salt=00ff,data_blocks=1024,data_block_size=4096,hash_block_size=4096`;

describe("parseVerityParams", () => {
  it("reads Kata's form, in any order, passing over what it does not know", () => {
    const params = { rootHash: ROOT, salt: "00ff", dataBlocks: 1024, dataBlockSize: 4096, hashBlockSize: 4096 };
    expect(parseVerityParams(GOOD, "x")).toEqual(params);
    const other = `hash_block_size=4096,data_block_size=4096,future=1,data_blocks=1024,salt=00FF,root_hash=${ROOT.toUpperCase()},bare`;
    expect(parseVerityParams(other, "x")).toEqual(params);
    expect(verityParamsText(parseVerityParams(other, "x"))).toBe(GOOD);
  });

  it.each([
    ["", "expected root_hash once, got 0 of it"],
    [GOOD.replace("salt=00ff,", ""), "expected salt once, got 0 of it"],
    [`${GOOD},salt=00fe`, "expected salt once, got 2 of it"],
    [GOOD.replace(ROOT, ROOT.slice(2)), "expected root_hash of 64 hexadecimal digits, got"],
    [GOOD.replace(ROOT, `--help${ROOT}`), "expected root_hash of 64 hexadecimal digits, got"],
    [GOOD.replace("00ff", "0ff"), 'expected salt of hexadecimal bytes, got "0ff"'],
    [GOOD.replace("00ff", ""), 'expected salt of hexadecimal bytes, got ""'],
    [GOOD.replace("00ff", "00".repeat(257)), "expected salt of hexadecimal bytes, got"],
    [GOOD.replace("=1024", "=0"), 'expected data_blocks of a number from 1, got "0"'],
    [GOOD.replace("=1024", "=-1"), 'expected data_blocks of a number from 1, got "-1"'],
    [GOOD.replace("=1024", "=1e3"), 'expected data_blocks of a number from 1, got "1e3"'],
    [
      GOOD.replace("data_block_size=4096", "data_block_size=4095"),
      "expected data_block_size of a block size, got 4095",
    ],
    [GOOD.replace("hash_block_size=4096", "hash_block_size=131072"), "expected hash_block_size of bytes"],
    [GOOD.replace("hash_block_size=4096", "hash_block_size=0"), "expected hash_block_size of a block size, got 0"],
    [`${GOOD},x=${"y".repeat(MAX_VERITY_TEXT)}`, `expected at most ${MAX_VERITY_TEXT} characters`],
  ])("refuses %j", (text, message) => {
    expect(() => parseVerityParams(text, "kata.extension.gpu.verity_params")).toThrow(message);
    expect(() => parseVerityParams(text, "the subject")).toThrow(/^the subject: expected /u);
  });

  it("answers with nothing that veritysetup could take for an option or a path, whatever the text", () => {
    const random = new Random(42);
    const pieces = [...GOOD.split(/(?<=[=,])/u), "--", "/dev/vda", ROOT, "\0", "=", ",", "0", "9".repeat(20), "é"];
    for (let round = 0; round < 20_000; round++) {
      const fields = GOOD.split(",");
      // Mostly right, so that some pass.
      for (let n = random.below(3); n > 0; n--) fields[random.below(5)] = random.pick(pieces) + random.pick(pieces);
      try {
        const params = parseVerityParams(fields.join(","), "x");
        expect(verityParamsText(params)).toMatch(
          /^root_hash=[0-9a-f]{64},salt=(?:[0-9a-f]{2})+,data_blocks=\d+,data_block_size=\d+,hash_block_size=\d+$/u,
        );
      } catch (error) {
        expect(error, fields.join(",")).toMatchObject({ name: "NvrcError", code: "extension" });
      }
    }
  });
});
