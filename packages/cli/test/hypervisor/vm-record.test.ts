import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { parseVmRecord, type VmRecord, VmRecords } from "../../src/hypervisor/vm-record.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "nacre-records-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const record = (id: string): VmRecord => ({
  spec: {
    id,
    pod: "web",
    namespace: "shop",
    machineType: "",
    image: "",
    vcpus: 2,
    memoryBytes: 1 << 28,
    initdata: "secret = 1\n",
    networkNamespace: "/var/run/netns/x",
  },
  guest: "0123abcd",
  created: "2026-01-01T00:00:00.000Z",
  stage: "created",
});

describe("records of virtual machines", () => {
  it("are read as they were written, by their owner alone", () => {
    const records = new VmRecords(join(folder, "vms"));
    records.write(record("one"));
    records.write(record("two"));
    records.write({ ...record("one"), stage: "running" });
    expect(records.read()).toEqual([{ ...record("one"), stage: "running" }, record("two")]);
    expect(statSync(records.folder).mode & 0o777).toBe(0o700);
    expect(statSync(join(records.folder, "one.json")).mode & 0o777).toBe(0o600);
    records.remove("one");
    records.remove("one");
    expect(records.read()).toEqual([record("two")]);
  });

  it("keep what they do not know as it is: absent limits", () => {
    const records = new VmRecords(folder);
    const bare = { ...record("bare").spec, vcpus: undefined, memoryBytes: undefined, initdata: undefined };
    records.write({ ...record("bare"), spec: bare });
    expect(records.read()).toEqual([{ ...record("bare"), spec: bare }]);
  });

  it("are not made of what is damaged, cut off, or another's file", () => {
    const records = new VmRecords(folder);
    records.write(record("good"));
    writeFileSync(join(folder, "cut.json"), JSON.stringify(record("cut")).slice(0, 40));
    writeFileSync(join(folder, "other.json"), JSON.stringify(record("good")));
    writeFileSync(join(folder, "full.json.new"), "");
    expect(records.read()).toEqual([record("good")]);
    expect(readdirSync(folder)).toEqual(["good.json"]);
  });

  it("never throw, whatever the file holds", () => {
    const text = JSON.stringify(record("fuzz"));
    let seed = 20_261_125;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return (seed >>> 8) % below;
    };
    for (let round = 0; round < 2000; round += 1) {
      const bytes = Buffer.from(text);
      for (let flips = random(4); flips >= 0; flips -= 1) bytes[random(bytes.length)] = random(256);
      const parsed = parseVmRecord(bytes.subarray(0, random(bytes.length + 1)).toString());
      if (parsed !== undefined) expect(parsed.guest).toMatch(/^[0-9a-f]{8}$/u);
    }
  });
});
