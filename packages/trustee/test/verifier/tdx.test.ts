import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { TdxVerifier } from "../../src/index.ts";
import { parseEventLog, replay } from "../../src/verifier/event-log/event-log.ts";
import { parsePck } from "../../src/verifier/tdx/pck.ts";
import { parseTdQuote, SIGNED_HEADER } from "../../src/verifier/tdx/quote.ts";
import { verifyQuoteSignatures } from "../../src/verifier/tdx/quote-signature.ts";
import { parseRevocationList } from "../../src/verifier/tdx/revocation.ts";
import { converge, enclaveLevel, platformLevel } from "../../src/verifier/tdx/tcb.ts";
import { quoteClaims } from "../../src/verifier/tdx/tdx-verifier.ts";
import { vectors } from "../../../../test/setup/data.ts";
import { seeded } from "../../../../test/fixtures/seeded.ts";
import { flipped, mutated } from "../random.ts";
import { aael, END, event, HEADER } from "./made-event-log.ts";
import { makeTd, type MadeTd, type TdOptions } from "./td-quote.ts";

const NOW = Date.parse("2026-11-25T00:00:00Z");

function verifier(made: MadeTd, now = NOW): TdxVerifier {
  return new TdxVerifier({
    now: () => now,
    root: made.root.publicKey,
    collateral: { find: () => Promise.resolve(made.collateral) },
  });
}

async function verify(
  options: TdOptions = {},
  evidence = {},
  expected = {},
  now = NOW,
): Promise<Record<string, unknown>> {
  const made = makeTd(options);
  const [verified] = await verifier(made, now).verify(
    { quote: made.quote.toString("base64"), cc_eventlog: null, ...evidence },
    expected,
  );
  return { ...verified?.claims };
}

describe("evidence of TDX", () => {
  it("gives the quote and the platform's standing as claims", async () => {
    expect(await verify()).toMatchObject({
      quote: {
        header: { version: "0400", att_key_type: "0200", tee_type: "81000000", vendor_id: "93".repeat(16) },
        body: { mr_td: "3d".repeat(48), xfam: "e742060000000000", rtmr_0: "00".repeat(48) },
      },
      td_attributes: { debug: false, septve_disable: true, protection_keys: false, key_locker: false, perfmon: false },
      tcb_status: "UpToDate",
      tcb_date: "2024-03-13T00:00:00Z",
      advisory_ids: ["INTEL-SA-5"],
      collateral_expiration_status: "0",
      earliest_issue_date: "2025-01-01T00:00:00Z",
      latest_issue_date: "2026-02-01T00:00:00Z",
      earliest_expiration_date: "2048-01-01T00:00:00Z",
      tcb_eval_num: "17",
      pck_crl_num: "07",
      platform_instance_id: "0f0e0d0c0b0a09080706050403020100",
    });
  });

  it("is read in version 5", async () => {
    expect(await verify({ version: 5 })).toMatchObject({
      quote: {
        header: { version: "0500" },
        type: "0300",
        size: "88020000",
        body: { tee_tcb_svn2: "06".repeat(16), mr_servicetd: "07".repeat(48) },
      },
    });
  });

  it("is bound to report data and initdata", async () => {
    const digest = Buffer.alloc(48, 4);
    const options = { reportData: Buffer.concat([digest, Buffer.alloc(16)]), configId: digest };
    await verify(options, {}, { reportData: digest, initDataDigest: digest });
    await expect(verify(options, {}, { reportData: Buffer.alloc(48) })).rejects.toThrow("REPORT_DATA");
    await expect(verify(options, {}, { initDataDigest: Buffer.alloc(48) })).rejects.toThrow("MRCONFIGID");
  });

  it("has an event log that leads to its registers", async () => {
    const log = Buffer.concat([HEADER, event(1, 4, Buffer.alloc(4)), aael("a b c"), END]);
    const events = parseEventLog(log);
    const rtmrs = [1, 2, 3, 4].map((index) => replay(events, index, "SHA-384"));
    const cc_eventlog = log.toString("base64");
    expect(await verify({ rtmrs }, { cc_eventlog })).toHaveProperty("uefi_event_logs.1.details.unicode_name", "AAEL");
    await expect(verify({}, { cc_eventlog })).rejects.toThrow("does not pass measurement replay");
    expect(await verify({}, { cc_eventlog: "" })).not.toHaveProperty("uefi_event_logs");
  });

  it.each<[string, TdOptions, string]>([
    ["an older platform", { platformSvn: 4 }, "OutOfDate"],
    ["a platform to be hardened", { platformStatus: "SWHardeningNeeded" }, "SWHardeningNeeded"],
    ["an old enclave", { qeStatus: "OutOfDate" }, "OutOfDate"],
    [
      "an old enclave on a platform to be configured",
      { qeStatus: "OutOfDate", platformStatus: "ConfigurationNeeded" },
      "OutOfDateConfigurationNeeded",
    ],
    ["a module of a later series", { tcbSvn: [4, 1, 2] }, "UpToDate"],
    ["an old module of a later series", { tcbSvn: [3, 1, 2] }, "OutOfDate"],
  ])("shows %s", async (_, options, status) => {
    expect(await verify(options)).toHaveProperty("tcb_status", status);
  });

  it("shows collateral that is out of date", async () => {
    expect(await verify({ nextUpdate: "2026-02-01T00:00:00Z" })).toHaveProperty("collateral_expiration_status", "1");
  });

  it.each<[string, TdOptions, string]>([
    ["a platform below every level", { platformSvn: 2 }, "below every level"],
    ["a module below every level", { tcbSvn: [1, 1, 2] }, "below every level"],
    ["a module of no known series", { tcbSvn: [5, 9, 2] }, "TDX_09 is not known"],
    ["an enclave below every level", { qeSvn: 3 }, "below every level"],
    ["a revoked TCB", { platformStatus: "Revoked" }, "TCB was revoked"],
    ["a revoked enclave", { qeStatus: "Revoked" }, "TCB was revoked"],
    ["a revoked PCK certificate", { revoked: [0x81] }, "was revoked"],
    ["a revoked authority", { rootRevoked: [2] }, "was revoked"],
    ["collateral of a revoked signer", { rootRevoked: [3] }, "its signer was revoked"],
    ["collateral of another platform", { fmspc: "000000000000" }, "expected one for the platform"],
    ["a PCK certificate that has run out", { pckTo: "20260101000000Z" }, "expected a certificate valid now"],
    ["an enclave that vouches for another key", { qeReportData: Buffer.alloc(32) }, "vouches for the attestation key"],
    ["an unknown status", { platformStatus: "Fine" }, "expected a known status"],
  ])("is refused with %s", async (_, options, text) => {
    await expect(verify(options)).rejects.toThrow(text);
  });

  it("is refused under another root", async () => {
    const made = makeTd();
    const other = new TdxVerifier({ now: () => NOW, collateral: { find: () => Promise.resolve(made.collateral) } });
    await expect(other.verify({ quote: made.quote.toString("base64") }, {})).rejects.toThrow("Intel's root");
  });

  it("is refused with collateral that was changed", async () => {
    const made = makeTd();
    const changes = [
      { tcbInfo: made.collateral.tcbInfo.replace('"OutOfDate"', '"UpToDate"') },
      { qeIdentity: made.collateral.qeIdentity.replace('"isvsvn":4', '"isvsvn":3') },
      { rootCrl: flipped(made.collateral.rootCrl, 40) },
      { pckCrl: made.collateral.rootCrl },
      { tcbInfoChain: "" },
      { tcbInfo: "{" },
    ];
    for (const change of changes) {
      const changed = verifier({ ...made, collateral: { ...made.collateral, ...change } });
      await expect(changed.verify({ quote: made.quote.toString("base64") }, {})).rejects.toThrow();
    }
  });

  it("is refused after a change of any byte up to the certificates", () => {
    const { quote, root } = makeTd();
    const signed = parseTdQuote(quote).signed.length;
    // Signed part, its length, signature and key, the certification's header, report, signature, authentication data.
    for (let at = 0; at < signed + 4 + 128 + 6 + 384 + 64 + 2 + 32; at += 3) {
      expect(
        () => verifyQuoteSignatures(parseTdQuote(flipped(quote, at, at % 8)), NOW, root.publicKey),
        `byte ${at}`,
      ).toThrow();
    }
  });

  it("is read or refused, whatever the bytes (seed 60)", () => {
    const random = seeded(60);
    const { quote, root, collateral } = makeTd({ revoked: [1, 2, 3] });
    for (let i = 0; i < 2000; i++) {
      for (const parse of [
        () => parseTdQuote(mutated(quote, random)),
        () => parseRevocationList(mutated(collateral.rootCrl, random), root.publicKey),
      ]) {
        try {
          parse();
        } catch (error) {
          expect(error).toHaveProperty("name", "TrusteeError");
        }
      }
    }
  });
});

it.each([
  ["UpToDate", ["UpToDate", "UpToDate"], "UpToDate"],
  ["OutOfDate", ["OutOfDate"], "OutOfDate"],
  ["ConfigurationAndSWHardeningNeeded", ["OutOfDate"], "OutOfDateConfigurationNeeded"],
  ["UpToDate", ["Revoked"], "Revoked"],
] as const)("%s with %j is %s", (platform, parts, whole) => {
  expect(converge(platform, parts)).toBe(whole);
});

const folder = vectors("attestation");
if (folder !== undefined) {
  describe.each([
    ["tdx_quote_4.dat", 4],
    ["tdx_quote_5.dat", 5],
  ] as const)("the recorded quote %s", (name, version) => {
    const bytes = readFileSync(`${folder}/${name}`);
    // A moment at which both platforms' certificates hold.
    const then = Date.parse("2025-06-01T00:00:00Z");

    it("is Intel's", () => {
      const quote = parseTdQuote(bytes);
      expect(quote.version).toBe(version);
      verifyQuoteSignatures(quote, then);
    });

    it("is refused after a change of any byte of its signed part", () => {
      const { signed } = parseTdQuote(bytes);
      for (let at = 0; at < signed.length; at += at < SIGNED_HEADER[version] ? 1 : 5) {
        expect(() => verifyQuoteSignatures(parseTdQuote(flipped(bytes, at, at % 8)), then), `byte ${at}`).toThrow();
      }
    });

    it("is refused when its certificates do not hold yet", () => {
      expect(() => verifyQuoteSignatures(parseTdQuote(bytes), 0)).toThrow("expected a certificate valid now");
    });
  });

  it("the claims of a recorded quote are those that upstream gives", () => {
    const quote = parseTdQuote(readFileSync(`${folder}/tdx_quote_4.dat`));
    const [pck] = quote.chain;
    const platform = pck === undefined ? undefined : parsePck(pck);
    const { uefi_event_logs: _, ...expected } = JSON.parse(
      readFileSync(`${folder}/parse_tdx_claims_expected.json`, "utf8"),
    ) as Record<string, unknown>;
    expect(platform).toMatchObject({ fmspc: "50806f000000", pceSvn: 11, authority: "platform" });
    if (platform !== undefined) expect(quoteClaims(quote, platform, undefined)).toEqual(expected);
  });

  it("Intel's own documents are read", () => {
    const read = (name: string, member: string): unknown =>
      (JSON.parse(readFileSync(`${folder}/${name}`, "utf8")) as Record<string, unknown>)[member];
    const quote = parseTdQuote(readFileSync(`${folder}/tdx_quote_5.dat`));
    expect(enclaveLevel(read("enclaveIdentity.json", "enclaveIdentity"), quote.qeReport).status).toBe("UpToDate");
    const [pck] = quote.chain;
    if (pck === undefined) throw new Error("no certificate");
    // For the platform of the document, at pcesvn 11 where 13 is current.
    const platform = {
      ...parsePck(pck),
      fmspc: "00a06d080000",
      components: Array.from({ length: 16 }, () => 9),
      pceSvn: 11,
    };
    expect(platformLevel(read("tcbInfo.json", "tcbInfo"), platform, quote.body).status).toBe("OutOfDate");
  });
}
