import { describe, expect, it } from "vitest";

import { NvrcError } from "../src/error.ts";
import { parseNvrcOptions } from "../src/options.ts";
import { Random } from "./random.ts";

const PRESET = {
  log: undefined,
  uvmPersistenceMode: true,
  dcgm: false,
  readyState: undefined,
  graphicsClock: undefined,
  memoryClock: undefined,
  powerLimit: undefined,
  warnings: [],
};

describe("parseNvrcOptions", () => {
  it.each([
    ["", {}],
    ["nvrc.log=trace", { log: "trace" }],
    ["nvrc.log=INFO nvrc.log=error", { log: "error" }],
    ["nvrc.log=", { log: "off" }],
    ["nvrc.log=0", { log: "off" }],
    ["nvrc.log=chatty", { log: "off" }],
    ["nvrc.log", {}],
    ["nvrc.uvm.persistence.mode=No", { uvmPersistenceMode: false }],
    ["nvrc.uvm.persistence.mode=1", { uvmPersistenceMode: true }],
    ["nvrc.dcgm=yes", { dcgm: true }],
    ["nvrc.dcgm=on nvrc.dcgm", { dcgm: true }],
    ["nvrc.smi.srs=1", { readyState: "1" }],
    ["nvrc.smi.lgc=1500 nvrc.smi.lmc=+5001 nvrc.smi.pl=0", { graphicsClock: 1500, memoryClock: 5001, powerLimit: 0 }],
    ["nvrc.smi.pl=4294967295", { powerLimit: 4_294_967_295 }],
    ['nvrc.smi.pl="300"', { powerLimit: 300 }],
    // What upstream's README names but no code reads.
    ["nvrc.mode=gpu nvrc.fm.mode=1 nvrc.fm.rail.policy=greedy", {}],
    // A token inside quotes is no key, and what follows `--` is not ours.
    ['dm-mod.create="dm-verity,,,ro,0 nvrc.dcgm=on nvrc.smi.pl=x" quiet', {}],
    ["quiet -- nvrc.dcgm=on nvrc.smi.pl=x", {}],
    ["NODE_OPTIONS=--require=/x LD_PRELOAD=/dev/vda bare /x.js", {}],
  ])("%s", (line, expected) => {
    expect(parseNvrcOptions(line)).toEqual({ ...PRESET, ...expected });
  });

  it("takes what is neither on nor off for off, and says so", () => {
    expect(parseNvrcOptions("nvrc.dcgm=maybe nvrc.uvm.persistence.mode=")).toEqual({
      ...PRESET,
      uvmPersistenceMode: false,
      warnings: ['nvrc.uvm.persistence.mode: expected on or off, got ""', 'nvrc.dcgm: expected on or off, got "maybe"'],
    });
  });

  it.each([
    ["nvrc.smi.lgc=fast", 'nvrc.smi.lgc: expected a number of 32 bits, got "fast"'],
    ["nvrc.smi.lmc=", 'nvrc.smi.lmc: expected a number of 32 bits, got ""'],
    ["nvrc.smi.pl=-1", 'nvrc.smi.pl: expected a number of 32 bits, got "-1"'],
    ["nvrc.smi.pl=1e3", 'nvrc.smi.pl: expected a number of 32 bits, got "1e3"'],
    ["nvrc.smi.pl=0x10", 'nvrc.smi.pl: expected a number of 32 bits, got "0x10"'],
    ["nvrc.smi.pl=4294967296", 'nvrc.smi.pl: expected a number of 32 bits, got "4294967296"'],
    ['nvrc.smi.pl="300 W"', 'nvrc.smi.pl: expected a number of 32 bits, got "300 W"'],
    ["nvrc.smi.srs=--help", 'nvrc.smi.srs: expected a word, got "--help"'],
    ["nvrc.smi.srs=", 'nvrc.smi.srs: expected a word, got ""'],
    ['nvrc.smi.srs="1 0"', 'nvrc.smi.srs: expected a word, got "1 0"'],
  ])("refuses %s", (line, message) => {
    expect(() => parseNvrcOptions(line)).toThrow(new NvrcError("parameter", message));
  });

  it("either answers or refuses a parameter, whatever the line", () => {
    const random = new Random(20_261_125);
    const words = [
      "nvrc.",
      "log",
      "smi.",
      "pl",
      "srs",
      "dcgm",
      "=",
      "=",
      '"',
      " ",
      "\t",
      "--",
      "1",
      "on",
      "-",
      "ÿ",
      "\0",
    ];
    for (let round = 0; round < 20_000; round++) {
      const line = Array.from({ length: random.below(24) }, () => random.pick(words)).join("");
      try {
        const { powerLimit } = parseNvrcOptions(line);
        expect(powerLimit === undefined || Number.isInteger(powerLimit)).toBe(true);
      } catch (error) {
        expect(error, line).toMatchObject({ name: "NvrcError", code: "parameter" });
      }
    }
  });
});
