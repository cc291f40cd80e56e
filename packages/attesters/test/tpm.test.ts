import { createHash, randomBytes } from "node:crypto";

import { describe, expect, it } from "vitest";

import { AttesterError, parseQuote, Tpm } from "../src/index.ts";
import { FakeDevices } from "./fake-devices.ts";

function response(parameters: Uint8Array, status = 0): Buffer {
  const head = Buffer.alloc(10);
  head.writeUInt16BE(0x8001, 0);
  head.writeUInt32BE(10 + parameters.length, 2);
  head.writeUInt32BE(status, 6);
  return Buffer.concat([head, parameters]);
}

function tpm(transact: (command: Buffer) => Buffer): Tpm {
  return new Tpm(new FakeDevices({ transact }), "/dev/tpm0");
}

const PCR_VALUE = randomBytes(32);
const PCR_RESPONSE = Buffer.concat([Buffer.from("0000000700000001000b03000100000000010020", "hex"), PCR_VALUE]);

describe("a TPM", () => {
  it("is asked for a register", async () => {
    const one = tpm((command) => {
      expect(command.toString("hex")).toBe("8001000000140000017e00000001000b03000100");
      return response(PCR_RESPONSE);
    });
    expect(await one.readPcr(8)).toEqual(PCR_VALUE);
  });

  it("extends one with an empty password", async () => {
    const digest = randomBytes(32);
    let sent = "";
    await tpm((command) => {
      sent = command.toString("hex");
      return response(Buffer.from("000000000000010000", "hex"));
    }).extendPcr(8, digest);
    expect(sent).toBe(`80020000004100000182000000080000000940000009000000000000000001000b${digest.toString("hex")}`);
    await expect(tpm(() => response(Buffer.alloc(0))).extendPcr(24, digest)).rejects.toMatchObject({ code: "input" });
    await expect(tpm(() => response(Buffer.alloc(0))).extendPcr(8, digest.subarray(1))).rejects.toThrow("32 bytes");
  });

  it("is asked again while it is busy, and not for ever", async () => {
    let asked = 0;
    const busy = tpm(() => (++asked < 4 ? response(Buffer.alloc(0), 0x922) : response(PCR_RESPONSE)));
    expect(await busy.readPcr(8)).toEqual(PCR_VALUE);
    await expect(tpm(() => response(Buffer.alloc(0), 0x922)).readPcr(8)).rejects.toThrow("got 0x922");
    await expect(tpm(() => response(Buffer.alloc(0), 0x101)).readPcr(8)).rejects.toMatchObject({ code: "device" });
  });

  it("may send no response that is cut or says more than it has", async () => {
    const whole = response(PCR_RESPONSE);
    for (let length = 0; length < whole.length; length++) {
      const cut = Buffer.from(whole.subarray(0, length));
      await expect(tpm(() => cut).readPcr(8)).rejects.toBeInstanceOf(AttesterError);
      if (length < 10) continue;
      cut.writeUInt32BE(length, 2);
      await expect(tpm(() => cut).readPcr(8), String(length)).rejects.toBeInstanceOf(AttesterError);
    }
  });

  it("serves one after the other, also after a failure", async () => {
    let inside = 0;
    const one = tpm(() => {
      expect(++inside).toBe(1);
      inside -= 1;
      return response(PCR_RESPONSE);
    });
    const all = await Promise.allSettled([one.readPcr(8), one.extendPcr(99, PCR_VALUE), one.readPcr(8)]);
    expect(all.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
  });
});

describe("a quote", () => {
  const nonce = randomBytes(32);
  const quote = (magic = "ff544347", type = "8018"): Buffer =>
    Buffer.concat([
      Buffer.from(`${magic}${type}0002aaaa0020`, "hex"),
      nonce,
      Buffer.alloc(25),
      Buffer.from("00000001000b03ffffff0020", "hex"),
      createHash("sha256").update("pcrs").digest(),
    ]);

  it("holds the nonce and the registers' digest", () => {
    const { extraData, pcrDigest } = parseQuote(quote());
    expect(extraData).toEqual(nonce);
    expect(pcrDigest).toEqual(createHash("sha256").update("pcrs").digest());
  });

  it("is nothing else, and is whole", () => {
    expect(() => parseQuote(quote("ff544348"))).toThrow("expected a quote");
    expect(() => parseQuote(quote("ff544347", "8017"))).toThrow("expected a quote");
    const whole = quote();
    for (let length = 0; length < whole.length; length++) {
      expect(() => parseQuote(whole.subarray(0, length))).toThrow(AttesterError);
    }
  });
});
