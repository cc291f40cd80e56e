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
import { join } from "node:path";

import { formatInitdata, writeInitdataImage } from "@nacre/kbs-protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { defaultConfig } from "../../src/config.ts";
import type { Flavour } from "../../src/flavour.ts";
import { requireBinding } from "../../src/initdata/binding.ts";
import { type BlockDevices, systemBlockDevices } from "../../src/initdata/block-devices.ts";
import { type GuestInitdata, loadInitdata } from "../../src/initdata/guest-initdata.ts";
import { launchPlan } from "../../src/launch/plan.ts";
import { createLogger } from "../../src/log.ts";

const TEXT = formatInitdata({
  algorithm: "sha256",
  data: new Map([
    ["aa.toml", "[token]\nurl = 'x'\n"],
    ["cdh.toml", "[image]\n"],
    ["policy.rego", "package agent_policy\n"],
    ["other", "kept by nobody"],
  ]),
});

let folder: string;
let lines: string[];
const log = createLogger({ level: "info", version: "0", pid: 1, write: (line) => lines.push(line) });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "initdata-"));
  lines = [];
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Disks that are bytes; undefined is one that cannot be opened. */
function disks(contents: Readonly<Record<string, Buffer | undefined>>): BlockDevices & { closed: string[] } {
  const closed: string[] = [];
  return {
    closed,
    list: () => Object.keys(contents),
    open: (path) => {
      const bytes = contents[path];
      if (bytes === undefined) throw new Error("ENXIO");
      return {
        read: (length, position) => {
          if (position + length > bytes.length) throw new Error("short");
          return bytes.subarray(position, position + length);
        },
        close: () => void closed.push(path),
      };
    },
  };
}
const load = (devices: BlockDevices): Promise<GuestInitdata | undefined> =>
  loadInitdata(devices, log, join(folder, "out"));

describe("loadInitdata", () => {
  it("writes the parts, keeps the policy, and says the digest", async () => {
    const image = await writeInitdataImage(Buffer.from(TEXT));
    const devices = disks({ "/dev/vda": Buffer.alloc(512), "/dev/vdb": image });
    const out = join(folder, "out");
    expect(await load(devices)).toEqual({
      device: "/dev/vdb",
      algorithm: "sha256",
      digest: expect.stringMatching(/^[0-9a-f]{64}$/) as unknown,
      document: `${out}/initdata.toml`,
      attestationConfig: `${out}/aa.toml`,
      hubConfig: `${out}/cdh.toml`,
      policy: "package agent_policy\n",
    });
    expect(readdirSync(out).sort()).toEqual(["aa.toml", "cdh.toml", "initdata.toml"]);
    expect(readFileSync(`${out}/initdata.toml`, "utf8")).toBe(TEXT);
    expect(readFileSync(`${out}/cdh.toml`, "utf8")).toBe("[image]\n");
    expect([statSync(out).mode & 0o777, statSync(`${out}/aa.toml`).mode & 0o777]).toEqual([0o700, 0o600]);
    expect(devices.closed).toEqual(["/dev/vda", "/dev/vdb"]);
    expect(lines.join("")).toContain('"algorithm":"sha256"');
  });

  it("leaves nothing of before, whether there is initdata or not", async () => {
    const out = join(folder, "out");
    mkdirSync(out);
    writeFileSync(`${out}/cdh.toml`, "planted");
    expect(await load(disks({ "/dev/vda": Buffer.alloc(512) }))).toBeUndefined();
    expect(existsSync(out)).toBe(false);
  });

  it("passes over disks that cannot be opened or are too short", async () => {
    const image = await writeInitdataImage(Buffer.from(TEXT));
    const found = await load(disks({ "/dev/sda": undefined, "/dev/sdb": Buffer.alloc(3), "/dev/sdc": image }));
    expect(found?.device).toBe("/dev/sdc");
    expect(lines.filter((line) => line.includes("is not looked at"))).toHaveLength(2);
  });

  it("refuses two of them", async () => {
    const image = await writeInitdataImage(Buffer.from(TEXT));
    await expect(load(disks({ "/dev/vdb": image, "/dev/vda": image }))).rejects.toThrow(
      "initdata: expected one device, got /dev/vda, /dev/vdb",
    );
  });

  it.each([
    ["a document that is malformed", Buffer.from("nonsense"), "initdata on /dev/vda: initdata: expected TOML"],
    ["a version that is unknown", Buffer.from('version = "9"\n'), 'initdata: expected version 0.1.0, got "9"'],
  ])("ends for %s, in one line and with nothing written", async (_, toml, message) => {
    const failure = await load(disks({ "/dev/vda": await writeInitdataImage(toml) })).catch((error: unknown) => error);
    expect(failure).toMatchObject({ message: expect.stringContaining(message) as unknown });
    expect((failure as Error).cause).toBeUndefined();
    expect(existsSync(join(folder, "out"))).toBe(false);
  });

  it("ends for a device that has the magic and is cut", async () => {
    const image = await writeInitdataImage(Buffer.from(TEXT));
    await expect(load(disks({ "/dev/vda": image.subarray(0, 100) }))).rejects.toThrow("initdata on /dev/vda: short");
  });
});

describe("the disks of a machine", () => {
  const files = (flavour: Flavour): BlockDevices => systemBlockDevices(flavour, folder);

  it("are whole disks of virtio and SCSI", () => {
    for (const name of ["vda", "vdb1", "sdaa", "sr0", "vd", "vda.img", "loop0"]) writeFileSync(join(folder, name), "");
    expect(files("kata").list().toSorted()).toEqual([join(folder, "sdaa"), join(folder, "vda")]);
  });

  it.each([
    ["devkit", true],
    ["kata", false],
    ["strict", false],
  ] as const)("may be files in the %s flavour: %s", (flavour, taken) => {
    writeFileSync(join(folder, "vda"), "0123456789");
    const device = files(flavour).open(join(folder, "vda"));
    expect(device !== undefined).toBe(taken);
    if (device === undefined) return;
    expect(device.read(4, 2).toString()).toBe("2345");
    expect(() => device.read(9, 2)).toThrow("expected 9 bytes at 2, got 8");
    device.close();
  });

  it("are never links or folders", () => {
    symlinkSync("/etc/hostname", join(folder, "vda"));
    mkdirSync(join(folder, "vdb"));
    expect(() => files("devkit").open(join(folder, "vda"))).toThrow(expect.objectContaining({ code: "ELOOP" }));
    expect(files("devkit").open(join(folder, "vdb"))).toBeUndefined();
  });
});

describe("requireBinding", () => {
  const initdata = { device: "/dev/vdb", digest: "ab" } as GuestInitdata;
  const attested = launchPlan({ config: defaultConfig(), exists: () => true });
  const unattested = launchPlan({ config: defaultConfig(), exists: () => false });

  it("refuses unbound initdata", () => {
    expect(() => requireBinding(initdata, unattested, false, log)).toThrow(
      "initdata on /dev/vdb: no attestation agent binds it, and only a simulated guest goes on without",
    );
  });

  it("says loudly that a simulated guest goes on", () => {
    requireBinding(initdata, unattested, true, log);
    expect(lines.join("")).toMatch(/"msg":"UNBOUND initdata on \/dev\/vdb.*"level":"WARNING".*"digest":"ab"/);
  });

  it.each([false, true])("says nothing when it is bound, or absent, in a guest that is simulated: %s", (simulated) => {
    requireBinding(initdata, attested, simulated, log);
    requireBinding(undefined, unattested, simulated, log);
    expect(lines).toEqual([]);
  });
});
