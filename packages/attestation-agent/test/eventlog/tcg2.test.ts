import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { AgentError, cutAtEnd, encodeEntry, END, eventDigest, HEADER, joinedLog } from "../../src/index.ts";
import { vectors } from "../../../../test/setup/data.ts";

const TEXT = "domain operation content";

describe("an entry", () => {
  it("has the digests that others compute", () => {
    expect(eventDigest(TEXT, "sha256").toString("hex")).toBe(
      "46df8dacf00a07d34a83cdf56d7978697790787cf2ba1432ef7c38f22cd96351",
    );
    expect(eventDigest(TEXT, "sha384").toString("hex")).toBe(
      "dad5f0e226318ffa9839b75a472c6aa7fdb5834949d0a0a22990cf04d5692440fb00f3aa0609db7e49cd8d793f670d02",
    );
  });

  it("is laid out as TCG2 has it", () => {
    const entry = encodeEntry(4, TEXT, "sha384");
    expect(entry.subarray(0, 14).toString("hex")).toBe("0400000006000000010000000c00");
    expect(entry.readUInt32LE(62)).toBe(8 + TEXT.length);
    expect(entry.subarray(66, 74).toString("latin1")).toBe(`LEAA${String.fromCharCode(TEXT.length)}\0\0\0`);
    expect(encodeEntry(11, TEXT, "sha256").readUInt16LE(12)).toBe(0x0b);
  });
});

describe("the joined log", () => {
  const entry = encodeEntry(4, TEXT, "sha384");

  it("begins with a header of its own where the firmware has none", async () => {
    expect(HEADER).toHaveLength(69);
    const folder = mkdtempSync(join(tmpdir(), "nacre-joined-"));
    try {
      const [aael, ccel] = [join(folder, "a"), join(folder, "c")];
      expect(await joinedLog(aael, ccel)).toBeUndefined();
      writeFileSync(aael, entry);
      expect(await joinedLog(aael, ccel)).toEqual(Buffer.concat([HEADER, entry, END]));
      writeFileSync(ccel, Buffer.concat([HEADER, entry, entry, END, Buffer.alloc(500, 0xff)]));
      expect(await joinedLog(aael, ccel)).toEqual(Buffer.concat([HEADER, entry, entry, entry, END]));
      rmSync(aael);
      expect(await joinedLog(aael, ccel)).toEqual(Buffer.concat([HEADER, entry, entry, END]));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it.each([END, Buffer.alloc(8)])("ends the firmware's at its end", (end) => {
    expect(cutAtEnd(Buffer.concat([HEADER, entry, end, entry]))).toEqual(Buffer.concat([HEADER, entry]));
  });

  it("does not take a log that is cut anywhere, or has no end", () => {
    const log = Buffer.concat([HEADER, entry, END]);
    for (let length = 0; length < log.length; length++) {
      expect(() => cutAtEnd(log.subarray(0, length)), String(length)).toThrow(AgentError);
    }
  });

  it("does not take a length that leads outside, or a digest without a size", () => {
    for (const at of [HEADER.length + 8, HEADER.length + 62, 28]) {
      const log = Buffer.concat([HEADER, entry, END]);
      log.writeUInt32LE(0xffff_fff0, at);
      expect(() => cutAtEnd(log)).toThrow(AgentError);
    }
    const log = Buffer.concat([HEADER, entry, END]);
    log.writeUInt16LE(0x99, HEADER.length + 12);
    expect(() => cutAtEnd(log)).toThrow("expected a known digest");
  });
});

const logs = vectors("eventlog");
if (logs !== undefined) {
  describe.each(["CCEL_AAEL_alibabacloud", "CCEL_data_grub", "CCEL_data_ovmf"])("the recorded log %s", (name) => {
    const bytes = readFileSync(join(logs, name));

    it("ends where its marks begin, and at no byte before", () => {
      const cut = cutAtEnd(bytes);
      expect(bytes.subarray(0, cut.length)).toEqual(cut);
      const rest = bytes.subarray(cut.length);
      expect(rest.length).toBeGreaterThanOrEqual(END.length);
      expect(rest.every((byte) => byte === rest[0])).toBe(true);
      expect([0, 0xff]).toContain(rest[0]);
      for (let length = 0; length < cut.length; length++) {
        // What lies behind is not read: the marks are looked for at ends of entries alone.
        expect(() => cutAtEnd(bytes.subarray(0, length)), `cut at ${length}`).toThrow(AgentError);
      }
    });

    it("takes the agent's events at its end", async () => {
      const folder = mkdtempSync(join(tmpdir(), "nacre-recorded-"));
      const entry = encodeEntry(4, TEXT, "sha384");
      try {
        writeFileSync(join(folder, "aael"), entry);
        const joined = await joinedLog(join(folder, "aael"), join(logs, name));
        expect(joined).toEqual(Buffer.concat([cutAtEnd(bytes), entry, END]));
      } finally {
        rmSync(folder, { recursive: true });
      }
    });
  });

  it("what upstream's agent logged is what ours would log, byte for byte", () => {
    const bytes = cutAtEnd(readFileSync(join(logs, "CCEL_AAEL_alibabacloud")));
    const entries: Buffer[] = [];
    for (let at = bytes.indexOf("LEAA"); at >= 0; at = bytes.indexOf("LEAA", at + 1)) {
      const start = at - 66;
      const text = bytes.toString("utf8", at + 8, at + 8 + bytes.readUInt32LE(at + 4));
      const entry = encodeEntry(bytes.readUInt32LE(start), text, "sha384");
      expect(bytes.subarray(start, start + entry.length), text).toEqual(entry);
      entries.push(entry);
    }
    expect(entries.length).toBeGreaterThan(0);
    expect(bytes.subarray(bytes.length - (entries.at(-1)?.length ?? 0))).toEqual(entries.at(-1));
  });
}
