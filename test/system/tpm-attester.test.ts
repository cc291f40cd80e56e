import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { EventLog, eventDigest, eventText } from "@nacre/attestation-agent";
import { type Attester, detectAttester } from "@nacre/attesters";
import type { TpmEvidence } from "@nacre/kbs-protocol";
import { tpmVerifier } from "@nacre/trustee";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { tpmAttester } from "../../packages/attesters/src/tpm/attester.ts";
import { checkQuote } from "../fixtures/check-quote.ts";
import { SwtpmDevice } from "../fixtures/swtpm-device.ts";

const EMPTY = Buffer.alloc(32);

/** A real TPM's program, and tpm2-tools, which know nothing of ours. */
let folder: string;
let tpm: SwtpmDevice;
let attester: Attester;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "nacre-tpm-"));
  tpm = await SwtpmDevice.start(folder);
  attester = await attesterOf(tpm);
});
afterEach(async () => {
  await tpm[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

async function attesterOf({ devices }: SwtpmDevice): Promise<Attester> {
  const nothing = (): never => {
    throw new Error("expected the TPM alone");
  };
  return await detectAttester(
    {
      devices,
      env: {},
      eventLog: () => Promise.resolve(undefined),
      metadata: { request: nothing },
      gpus: { confidential: () => 0, report: nothing },
      switches: { trusted: () => [], report: nothing },
    },
    { tpm: true },
  );
}

async function evidence(reportData: Uint8Array, of: Attester = attester): Promise<TpmEvidence> {
  return JSON.parse(await of.evidence(reportData)) as TpmEvidence;
}

describe("the attester of a TPM", () => {
  it("makes quotes that tpm2-tools and our verifier find right, over the first 32 bytes of report data", async () => {
    expect(attester.tee).toBe("tpm");
    const reportData = randomBytes(48);
    const made = await evidence(reportData);
    expect(await checkQuote(folder, made, reportData.subarray(0, 32))).toBeUndefined();
    const [claims] = await tpmVerifier.verify(made, { reportData });
    expect(claims?.claims).toMatchObject({ report_data: reportData.toString("hex", 0, 32), pcr08: "00".repeat(32) });
  });

  it("fills report data up that is shorter", async () => {
    const made = await evidence(Buffer.from("short"));
    const filled = Buffer.concat([Buffer.from("short"), Buffer.alloc(27)]);
    expect(await checkQuote(folder, made, filled)).toBeUndefined();
    expect(await tpmVerifier.verify(made, { reportData: Buffer.from("short") })).toHaveLength(1);
  });

  it("makes none that is right for another nonce, register, message, signature or key", async () => {
    const nonce = randomBytes(32);
    const made = await evidence(nonce);
    const flipped = (base64: string, at: number): string => {
      const bytes = Buffer.from(base64, "base64");
      const place = (at + bytes.length) % bytes.length;
      bytes.writeUInt8(bytes.readUInt8(place) ^ 1, place);
      return bytes.toString("base64");
    };
    const { tpm_quote: quote } = made;
    await using other = await SwtpmDevice.start(mkdtempSync(join(folder, "other-")));
    const { ak_public: otherKey } = await evidence(nonce, await attesterOf(other));
    const wrong: readonly [string, TpmEvidence][] = [
      ["register", { ...made, tpm_quote: { ...quote, pcrs: quote.pcrs.with(3, "11".repeat(32)) } }],
      ["message", { ...made, tpm_quote: { ...quote, message: flipped(quote.message, -1) } }],
      ["signature", { ...made, tpm_quote: { ...quote, signature: flipped(quote.signature, -1) } }],
      ["key", { ...made, ak_public: otherKey }],
    ];
    expect(await checkQuote(folder, made, nonce)).toBeUndefined();
    expect(await checkQuote(folder, made, randomBytes(32))).toBeDefined();
    await expect(tpmVerifier.verify(made, { reportData: randomBytes(32) })).rejects.toMatchObject({ code: "mismatch" });
    for (const [what, one] of wrong) {
      expect(await checkQuote(folder, one, nonce), what).toBeDefined();
      await expect(tpmVerifier.verify(one, { reportData: nonce }), what).rejects.toThrow();
    }
  });

  it("binds initdata by register 8, once, and no other document after it", async () => {
    const digest = createHash("sha256").update("initdata").digest();
    const wanted = createHash("sha256").update(EMPTY).update(digest).digest("hex");
    expect(await attester.bindInitdata(digest)).toBe("bound");
    expect(await attester.bindInitdata(digest)).toBe("bound");
    const nonce = randomBytes(32);
    const made = await evidence(nonce);
    expect(made.tpm_quote.pcrs[8]).toBe(wanted);
    expect(await checkQuote(folder, made, nonce)).toBeUndefined();
    expect(await tpmVerifier.verify(made, { reportData: nonce, initDataDigest: digest })).toHaveLength(1);
    const another = { reportData: nonce, initDataDigest: randomBytes(32) };
    await expect(tpmVerifier.verify(made, another)).rejects.toMatchObject({ code: "mismatch" });
    await expect(attester.bindInitdata(randomBytes(32))).rejects.toMatchObject({ code: "mismatch" });
    await expect(attester.bindInitdata(randomBytes(48))).rejects.toMatchObject({ code: "input" });
  });

  it("has registers for an event log, which replays to what is quoted", async () => {
    const { measurement } = attester;
    if (measurement === undefined) throw new Error("expected registers");
    const paths = { log: join(folder, "log/eventlog"), writeAhead: join(folder, "log/.wal_event_entry") };
    const log = await EventLog.open(measurement, 11, paths);
    const event = { domain: "nacre.test", operation: "Do", content: "this and that" };
    expect(await log.extend(event)).toBe("OK");
    expect(await log.extend(event)).toBe("OK");
    // Those of a dynamic launch are not the guest's to extend.
    expect(await log.extend(event, 17)).toBe("NOT_SUPPORTED");
    const digest = eventDigest(eventText(event), "sha256");
    const once = createHash("sha256").update(EMPTY).update(digest).digest();
    const twice = createHash("sha256").update(once).update(digest).digest("hex");
    expect((await evidence(randomBytes(32))).tpm_quote.pcrs[11]).toBe(twice);
    expect(readFileSync(paths.log).length).toBeGreaterThan(0);
  });

  it("asks by the handle that the environment names, and says where no key lies", async () => {
    const at = (handle: string): Attester => tpmAttester(tpm.devices, "/dev/tpm0", { AA_TPM_AK_HANDLE: handle });
    const nonce = randomBytes(32);
    expect(await checkQuote(folder, await evidence(nonce, at("0x81010002")), nonce)).toBeUndefined();
    // TPM_RC_HANDLE of the first handle.
    await expect(at("81010009").evidence(nonce)).rejects.toThrow("expected success, got 0x18b");
  });
});
