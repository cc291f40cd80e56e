import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { eventDetails } from "../../src/verifier/event-log/details.ts";
import { expectReplay, parseEventLog, replay } from "../../src/verifier/event-log/event-log.ts";
import { vectors } from "../../../../test/setup/data.ts";
import { seeded } from "../../../../test/fixtures/seeded.ts";
import { flipped, mutated } from "../random.ts";
import { aael, event, HEADER, END } from "./made-event-log.ts";

const sha384 = (...parts: readonly (Buffer | string)[]): Buffer => {
  const hash = createHash("sha384");
  for (const part of parts) hash.update(part);
  return hash.digest();
};

describe("an event log", () => {
  it("shows what a guest measured at run time", () => {
    const [one] = parseEventLog(Buffer.concat([HEADER, aael("domain operation content"), END]));
    expect(one).toMatchObject({
      index: 4,
      type_name: "EV_EVENT_TAG",
      digest_matches_event: true,
      digests: [
        {
          alg: "SHA-384",
          digest: "dad5f0e226318ffa9839b75a472c6aa7fdb5834949d0a0a22990cf04d5692440fb00f3aa0609db7e49cd8d793f670d02",
        },
      ],
      details: {
        string: "domain operation content",
        unicode_name: "AAEL",
        data: { domain: "domain", operation: "operation", content: "content" },
      },
    });
    const [json] = parseEventLog(Buffer.concat([HEADER, aael('d o {"image":"a", "n":1}'), END]));
    expect(json?.details.data).toEqual({ domain: "d", operation: "o", content: { image: "a", n: 1 } });
  });

  it("replays to what a register holds, register by register", () => {
    const events = parseEventLog(
      Buffer.concat([HEADER, aael("a b c"), event(2, 4, Buffer.alloc(4)), aael("a b d"), END]),
    );
    const digests = events.map(({ digests: [first] }) => Buffer.from(first?.digest ?? "", "hex"));
    const [a, , d] = digests as [Buffer, Buffer, Buffer];
    expect(replay(events, 4, "SHA-384")).toEqual(sha384(sha384(Buffer.alloc(48), a), d));
    expect(replay(events, 1, "SHA-384")).toEqual(Buffer.alloc(48));
    expectReplay(events, 1, Buffer.alloc(48));
    expect(() => expectReplay(events, 4, Buffer.alloc(48))).toThrow("Eventlog does not pass measurement replay");
  });

  it.each([
    ["an unknown type", Buffer.concat([HEADER, event(1, 0x99, Buffer.alloc(0)), END])],
    ["an algorithm that the header does not name", Buffer.concat([HEADER, event(1, 4, Buffer.alloc(4), 0x0d), END])],
    ["data that is cut off", Buffer.concat([HEADER, event(1, 4, Buffer.alloc(4)).subarray(0, -1)])],
    ["no header", event(1, 4, Buffer.alloc(4))],
    ["nothing", Buffer.alloc(0)],
    ["too few bytes for an event", Buffer.concat([HEADER, Buffer.alloc(7)])],
    ["a run-time event without its three parts", Buffer.concat([HEADER, aael("a b"), END])],
  ])("is refused with %s", (_, bytes) => {
    expect(() => parseEventLog(bytes)).toThrow("expected");
  });

  it.each([
    ["EV_EFI_BOOT_SERVICES_APPLICATION", "0".repeat(64), {}],
    ["EV_EFI_PLATFORM_FIRMWARE_BLOB2", "03616263", { string: "ab" }],
    ["EV_IPL", "6b65726e656c00ff", { string: "kernel" }],
    ["EV_IPL", "ff00ff", { string: "ff00ff" }],
    ["EV_PLATFORM_CONFIG_FLAGS", "610a62", { string: "ab" }],
    ["EV_SEPARATOR", "00000000", {}],
  ])("shows %s %s", (type, hex, details) => {
    expect(eventDetails(type, Buffer.from(hex, "hex"))).toEqual(details);
  });

  it("shows the path of what was loaded", () => {
    const nodes = [
      "02010c00d041030a00000000", // ACPI(PNP0A03,0)
      "010106000001", // Pci(0,1)
      "04012a000f000000002800000000000000500300000000005e27f1007553d5439eb5de2add4c99320202",
      "0403140072f728144ab61e44b8c39ebdd7f893c7",
      "040412006b00650072006e0065006c000000",
      "090905 00ab",
      "7fff0400",
    ];
    const path = Buffer.from(nodes.join("").replaceAll(" ", ""), "hex");
    const head = Buffer.alloc(32);
    head.writeBigUInt64LE(BigInt(path.length), 24);
    expect(eventDetails("EV_EFI_BOOT_SERVICES_APPLICATION", Buffer.concat([head, path]))).toEqual({
      device_paths: [
        "ACPI(PNP0A03,0)",
        "Pci(0,1)",
        "HD(15,GPT,00F1275E-5375-43D5-9EB5-DE2ADD4C9932,0x2800,0x35000)",
        "VenMedia(1428F772-B64A-441E-B8C3-9EBDD7F893C7,)",
        "File(kernel)",
        "Path(9,9,ab)",
      ],
    });
  });

  it("is read or refused, whatever the bytes (seed 40)", () => {
    const random = seeded(40);
    const head = Buffer.alloc(32);
    const log = Buffer.concat([
      HEADER,
      aael("a b c"),
      event(3, 0x80000003, head),
      event(1, 0x80000001, Buffer.alloc(40)),
      END,
    ]);
    for (let i = 0; i < 5000; i++) {
      try {
        parseEventLog(mutated(log, random));
      } catch (error) {
        expect(error).toHaveProperty("name", "TrusteeError");
      }
    }
  });
});

const logs = vectors("eventlog");
if (logs !== undefined) {
  describe.each(["CCEL_AAEL_alibabacloud", "CCEL_data_grub", "CCEL_data_ovmf"])("the recorded log %s", (name) => {
    const bytes = readFileSync(`${logs}/${name}`);

    it("is shown as upstream shows it", () => {
      const expected = JSON.parse(readFileSync(`${logs}/${name}_out.json`, "utf8")) as { uefi_event_logs: unknown };
      expect(JSON.parse(JSON.stringify(parseEventLog(bytes)))).toEqual(expected.uefi_event_logs);
    });

    it("replays to its registers, and to others after a change of any byte of a digest", () => {
      const events = parseEventLog(bytes);
      const registers = [1, 2, 3, 4].map((index) => replay(events, index, "SHA-384"));
      for (const [at, register] of registers.entries()) {
        expectReplay(events, at + 1, register);
        for (let byte = 0; byte < register.length; byte++) {
          expect(() => expectReplay(events, at + 1, flipped(register, byte, byte % 8))).toThrow(
            "Eventlog does not pass measurement replay",
          );
        }
      }
      let from = 0;
      for (const { index, digests } of events) {
        const digest = Buffer.from(digests.find(({ alg }) => alg === "SHA-384")?.digest ?? "", "hex");
        // Events are in the order of the file.
        const start = bytes.indexOf(digest, from);
        expect(start).toBeGreaterThanOrEqual(from);
        from = start + digest.length;
        if (index === 0) continue;
        for (let at = start; at < from; at += 7) {
          const changed = parseEventLog(flipped(bytes, at, at % 8));
          expect(() => expectReplay(changed, index, registers[index - 1] ?? Buffer.alloc(0)), `byte ${at}`).toThrow(
            "Eventlog does not pass measurement replay",
          );
        }
      }
    });

    it("is refused, or read, after a change of any byte, and what is measured says which", () => {
      const measured = (log: Buffer): string =>
        JSON.stringify(parseEventLog(log).map(({ index, digests }) => [index, digests]));
      const whole = measured(bytes);
      const end = bytes.lastIndexOf(END.subarray(0, 4));
      const random = seeded(41);
      for (let i = 0; i < 400; i++) {
        const changed = flipped(bytes, random(end < 0 ? bytes.length : Math.min(end, 4096)), random(8));
        let seen: string;
        try {
          seen = measured(changed);
        } catch (error) {
          expect(error).toHaveProperty("name", "TrusteeError");
          continue;
        }
        // Where the digests are the same, only what they were made from differs, and that is shown as such.
        if (seen !== whole) continue;
        const matches = (log: Buffer): readonly boolean[] =>
          parseEventLog(log).map(({ digest_matches_event: match }) => match);
        expect(matches(changed).every((match, at) => !match || matches(bytes)[at])).toBe(true);
      }
    });
  });
}
