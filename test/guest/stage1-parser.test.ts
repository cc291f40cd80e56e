import { spawnSync } from "node:child_process";

import { parseKernelCommandLine } from "@nacre/protocols";
import { describe, expect, it } from "vitest";

import { seeded } from "../fixtures/seeded.ts";

import { buildStage1Parser } from "../../guest-rootfs/programs.ts";

const parser = buildStage1Parser();
const TABLE = "verity 1 /dev/vda1 /dev/vda2 4096 4096 10 0 sha256 aa bb";
const ROOT = "root=/dev/dm-0 rootflags=ro rootfstype=erofs";
const CREATE = `dm-mod.create="dm-verity,,,ro,0 80 ${TABLE}"`;

interface Parsed {
  readonly lines: readonly string[];
  readonly error: string;
}

function parse(line: string): Parsed {
  const { stdout, stderr, signal } = spawnSync(parser, { input: Buffer.from(line, "latin1") });
  expect(signal).toBeNull();
  return { lines: stdout.toString("latin1").split("\n").slice(0, -1), error: stderr.toString("latin1") };
}

describe("stage 1's reading of the command line", () => {
  it.for([
    ["Kata's own", `${CREATE} ${ROOT} agent.log=debug`],
    ["with an underscore in the name", `dm_mod.create="dm-verity,,,ro,0 80 ${TABLE}" ${ROOT}`],
    ["quoted as a whole", `"dm-mod.create=dm-verity,,,ro,0 80 ${TABLE}" ${ROOT}`],
    ["with a line end, as /proc/cmdline has it", `${ROOT} ${CREATE}\n`],
    ["with more for init that looks like it", `${CREATE} ${ROOT} -- ${CREATE} root=/dev/vdb`],
  ])("opens the root %s", ([, line]) => {
    const { lines, error } = parse(line ?? "");
    expect(error).toBe("");
    expect(lines.at(-1)).toBe(`dm-verity ${TABLE.slice("verity ".length)} 1 panic_on_corruption`);
  });

  it.for([
    ["no device", ROOT, "expected a measured root on the command line, got none: dm-mod.create"],
    ["none but in quotes", `x="${CREATE.replaceAll('"', "")}" ${ROOT}`, "got none: dm-mod.create"],
    ["none but for init", `${ROOT} -- ${CREATE}`, "got none: dm-mod.create"],
    ["two devices", `${CREATE} ${ROOT} ${CREATE}`, "expected once on the command line, got twice: dm-mod.create"],
    ["a device without a value", `dm-mod.create ${ROOT}`, "expected a value on the command line: dm-mod.create"],
    ["another root", `${CREATE} root=/dev/vda1 rootfstype=erofs`, "expected root=/dev/dm-0, got: /dev/vda1"],
    ["no root", `${CREATE} rootfstype=erofs`, "expected root=/dev/dm-0, got: none"],
    ["two roots", `${CREATE} ${ROOT} root=/dev/vdb`, "got twice: root"],
    ["another file system", `${CREATE} root=/dev/dm-0 rootfstype=ext4`, "expected rootfstype=erofs, got: ext4"],
    ["two tables", `dm-mod.create="a,,,ro,0 80 ${TABLE};b,,,ro,0 80 ${TABLE}" ${ROOT}`, "one device without escapes"],
    ["two targets", `dm-mod.create="a,,,ro,0 80 ${TABLE},80 80 ${TABLE}" ${ROOT}`, "expected one target"],
    ["an escape", `dm-mod.create="a\\,b,,,ro,0 80 ${TABLE}" ${ROOT}`, "without escapes"],
    ["no name", `dm-mod.create=",,,ro,0 80 ${TABLE}" ${ROOT}`, "expected a name"],
    ["a long name", `dm-mod.create="${"n".repeat(128)},,,ro,0 80 ${TABLE}" ${ROOT}`, "expected a name of 1 to 127"],
    ["a uuid", `dm-mod.create="a,u,,ro,0 80 ${TABLE}" ${ROOT}`, "expected neither uuid nor minor"],
    ["a minor", `dm-mod.create="a,,3,ro,0 80 ${TABLE}" ${ROOT}`, "expected neither uuid nor minor"],
    ["a writable device", `dm-mod.create="a,,,rw,0 80 ${TABLE}" ${ROOT}`, "expected the flag ro"],
    ["another target", `dm-mod.create="a,,,ro,0 80 linear /dev/vda1 0" ${ROOT}`, "expected the target verity"],
    ["a target that starts late", `dm-mod.create="a,,,ro,8 80 ${TABLE}" ${ROOT}`, "from sector 0"],
    ["sectors that are none", `dm-mod.create="a,,,ro,0 8x ${TABLE}" ${ROOT}`, "expected a number: sectors"],
    [
      "sectors beyond all disks",
      `dm-mod.create="a,,,ro,0 ${"9".repeat(30)} ${TABLE}" ${ROOT}`,
      "expected a number: sectors",
    ],
    ["options", `dm-mod.create="a,,,ro,0 80 ${TABLE} 1 ignore_corruption" ${ROOT}`, "without options"],
    [
      "an argument too few",
      `dm-mod.create="a,,,ro,0 80 verity 1 /dev/vda1 /dev/vda2 4096 4096 10 0 sha256 aa" ${ROOT}`,
      "10 arguments",
    ],
    ["fields that end early", `dm-mod.create="a,,,ro" ${ROOT}`, "field missing: flags"],
    [
      "a device path that is too long",
      `dm-mod.create="a,,,ro,0 80 verity 1 /dev/${"v".repeat(60)} /dev/vda2 4096 4096 10 0 sha256 aa bb" ${ROOT}`,
      "too long: data device",
    ],
    [
      "a table that is too long",
      `dm-mod.create="a,,,ro,0 80 ${TABLE}${"b".repeat(600)}" ${ROOT}`,
      "dm-mod.create: too long",
    ],
    ["a line that is too long", `${CREATE} ${ROOT} ${"x".repeat(5000)}`, "too long"],
    ["nothing", "", "got none: dm-mod.create"],
  ])("refuses %s", ([, line, message]) => {
    const { error } = parse(line ?? "");
    expect(error).toContain(`nacre stage1: `);
    expect(error).toContain(message);
  });

  it("is the other daemons' reading, for any line", () => {
    const random = seeded(8);
    const letters = ['"', '"', " ", "=", "-", "a", "b", "\t", "_", ".", "\xa0", "'", "\\", "root", "dm-mod.create"];
    for (let i = 0; i < 400; i++) {
      const line = Array.from({ length: 1 + random(30) }, () => letters[random(letters.length)]).join("");
      const { parameters, initArguments } = parseKernelCommandLine(line);
      const end = initArguments.length > 0 || / -- *$|^-- *$|^-- | -- /u.test(line) ? undefined : parameters;
      const expected = (end ?? parameters).map(({ key, value }) => (value === undefined ? key : `${key}=${value}`));
      const { lines } = parse(line);
      // What follows "--" is listed here too.
      expect([line, lines.slice(0, expected.length)]).toEqual([line, expected]);
      if (initArguments.length === 0) expect([line, lines.filter((text) => text !== "--")]).toEqual([line, expected]);
    }
  });
});
