import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { readFileSync } from "node:fs";

import {
  type Attester,
  detectAttester,
  detectDevices,
  type DetectPorts,
  formatSnpReport,
  mrConfigId,
  parseSnpReport,
  rtmr,
  Tpm,
} from "@nacre/attesters";
import { AzSnpVerifier, tpmVerifier } from "@nacre/trustee";
import { describe, expect, it } from "vitest";

import { FakeDevices, type FakeOptions } from "../../packages/attesters/test/fake-devices.ts";
import { parseJson } from "../../packages/trustee/src/json.ts";
import { reportFromJson } from "../../packages/trustee/src/verifier/snp/report-json.ts";
import { parseTdQuote } from "../../packages/trustee/src/verifier/tdx/quote.ts";
import { verifyQuoteSignatures } from "../../packages/trustee/src/verifier/tdx/quote-signature.ts";
import { parseQuote, verifyQuote } from "../../packages/trustee/src/verifier/tpm/attest.ts";
import { parseHclReport } from "../../packages/trustee/src/verifier/azure/hcl-report.ts";
import { attest, registers, signQuote } from "../../packages/trustee/test/verifier/tpm-evidence.ts";
import { flipped } from "../../packages/trustee/test/random.ts";
import { recordedTpm } from "../fixtures/recorded-tpm.ts";
import { vectors } from "../setup/data.ts";

/** What devices once said goes through the guest's attesters, and the broker is who judges the evidence. */
function ports(options: FakeOptions, more: Partial<DetectPorts> = {}): DetectPorts {
  return {
    env: {},
    eventLog: () => Promise.resolve(undefined),
    metadata: { request: () => Promise.reject(new Error("no metadata")) },
    gpus: { confidential: () => 0, report: () => Promise.reject(new Error("no GPU")) as never },
    switches: { trusted: () => [], report: () => Promise.reject(new Error("no switch")) as never },
    devices: new FakeDevices(options),
    ...more,
  };
}

const found = (options: FakeOptions, more?: Partial<DetectPorts>): Promise<Attester> =>
  detectAttester(ports(options, more), { tpm: true });
const evidenceOf = async (attester: Pick<Attester, "evidence">, data: Buffer): Promise<Record<string, unknown>> =>
  parseJson(await attester.evidence(data), "evidence", "evidence") as Record<string, unknown>;

describe("evidence that a guest's attester makes", () => {
  const key = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const reportData = Buffer.alloc(48, 5);

  it("of a TPM is taken by the broker", async () => {
    const message = attest(reportData.subarray(0, 32), registers());
    const recording = {
      key: key.publicKey.export({ type: "spki", format: "der" }),
      message,
      signature: signQuote(message, key.privateKey),
      pcrs: registers(),
    };
    const attester = await found({ files: { "/dev/tpm0": "" }, transact: recordedTpm(recording) });
    const [verified] = await tpmVerifier.verify(await evidenceOf(attester, reportData), { reportData });
    expect(verified?.claims).toMatchObject({ pcr23: "17".repeat(32) });
    await expect(attester.evidence(Buffer.alloc(48, 6))).rejects.toThrow("expected our nonce");
  });
});

const folder = vectors("attestation");
if (folder !== undefined) {
  const file = (name: string): Buffer => readFileSync(`${folder}/${name}`);
  const json = (name: string): unknown => JSON.parse(file(name).toString());
  interface Quote {
    readonly message: string;
    readonly signature: string;
    readonly pcrs: readonly string[];
  }
  const quoted = ({ message, signature, pcrs }: Quote, encoding: "base64" | "hex", frame = 0) => ({
    message: Buffer.from(message, encoding),
    signature: Buffer.from(signature, encoding).subarray(frame),
    pcrs: pcrs.map((pcr) => Buffer.from(pcr, "hex")),
  });

  describe("recorded reports of SNP", () => {
    it.each(["snp/test-report.bin", "snp/test-vlek-report.bin"])(
      "%s reaches the broker byte for byte",
      async (name) => {
        const bytes = file(name);
        const rebuilt = reportFromJson(parseJson(formatSnpReport(parseSnpReport(bytes)), "report", "evidence"));
        expect(rebuilt).toEqual(bytes);
        const attester = await found({ tsm: { provider: "sev_guest", report: () => bytes } });
        const { attestation_report: report } = await evidenceOf(attester, Buffer.alloc(48));
        expect(reportFromJson(report)).toEqual(bytes);
        // Behind the version, which says what there is: all that is not reserved is carried, so a change of it is seen.
        for (let at = 4; at < bytes.length; at++) {
          const changed = flipped(bytes, at, at % 8);
          let again: Buffer;
          try {
            again = reportFromJson(parseJson(formatSnpReport(parseSnpReport(changed)), "report", "evidence"));
          } catch {
            continue;
          }
          expect(again.equals(changed) || again.equals(bytes), `byte ${at}`).toBe(true);
        }
      },
    );
  });

  describe("recorded evidence of Azure", () => {
    const recorded = json("az-snp-vtpm/evidence-v2.json") as { hcl_report: string; vcek: string; tpm_quote: Quote };
    const HCL = 0x0140_0001;
    const tag = { "/sys/class/dmi/id/chassis_asset_tag": "7783-7084-3265-9085-8269-3286-77\n", "/dev/tpm0": "" };
    const certificate = {
      vcekCert: `-----BEGIN CERTIFICATE-----\n${Buffer.from(recorded.vcek, "base64url").toString("base64")}\n-----END CERTIFICATE-----\n`,
    };

    it("is what the attester makes of the same devices, and is accepted", async () => {
      const quote = quoted(recorded.tpm_quote, "hex");
      const memory = new Map([[HCL, Buffer.from(recorded.hcl_report, "base64url")]]);
      const attester = await found(
        { files: tag, transact: recordedTpm({ ...quote, memory }) },
        { metadata: { request: () => Promise.resolve(JSON.stringify(certificate)) } },
      );
      expect(attester.tee).toBe("az-snp-vtpm");
      const reportData = parseQuote(quote.message).extraData;
      const evidence = await evidenceOf(attester, reportData);
      expect(evidence).toEqual(recorded);
      expect(await new AzSnpVerifier().verify(evidence, { reportData })).toHaveLength(1);
    });

    it("its bare report and quote belong together", async () => {
      const report = parseHclReport(file("az-snp-vtpm/hcl-report.bin"));
      const { signature, message, pcrs } = storedQuote(file("az-snp-vtpm/quote.bin"));
      const verified = verifyQuote(message, signature, pcrs, report.attestationKey);
      expect(String(verified.extraData)).toBe("challenge");
      for (let at = 0; at < message.length; at++) {
        expect(() => verifyQuote(flipped(message, at, at % 8), signature, pcrs, report.attestationKey)).toThrow();
      }
      for (const at of pcrs.keys()) {
        const changed = pcrs.with(at, flipped(pcrs[at] ?? Buffer.alloc(32), at));
        expect(() => verifyQuote(message, signature, changed, report.attestationKey)).toThrow("registers");
      }
      const memory = new Map([[HCL, file("az-snp-vtpm/hcl-report.bin")]]);
      expect((await found({ files: tag, transact: recordedTpm({ signature, message, pcrs, memory }) })).tee).toBe(
        "az-snp-vtpm",
      );
    });
  });

  describe("recorded evidence of a TPM", () => {
    const recorded = json("tpm_evidence.json") as { ak_public: string; tpm_quote: Quote };
    // In front of the signature: its algorithm, its hash and its length.
    const recording = { ...quoted(recorded.tpm_quote, "base64", 6), key: Buffer.from(recorded.ak_public, "base64") };
    const tpm = new Tpm(new FakeDevices({ transact: recordedTpm(recording) }), "/dev/tpm0");

    it("is what is made of the same device, for the nonce that it was asked for", async () => {
      const nonce = parseQuote(recording.message).extraData;
      const { signature, message, pcrs } = await tpm.quote(1, nonce);
      expect({
        tpm_quote: {
          signature: signature.toString("base64"),
          message: message.toString("base64"),
          pcrs: pcrs.map((pcr) => pcr.toString("hex")),
        },
        ak_public: (await tpm.readPublic(1)).export({ format: "der", type: "spki" }).toString("base64"),
      }).toEqual(recorded);
      // Today's guests ask with 32 bytes, and take no quote over anything else.
      const attester = await found({ files: { "/dev/tpm0": "" }, transact: recordedTpm(recording) });
      await expect(attester.evidence(nonce)).rejects.toThrow("expected our nonce");
    });
  });

  describe("recorded TDs", () => {
    it("a report's registers are found", async () => {
      const bytes = file("tdx_report_1.bin");
      const quote = parseTdQuote(file("tdx_quote_5.dat"));
      expect([mrConfigId(bytes), rtmr(bytes, 2), rtmr(bytes, 3)]).toEqual(Array(3).fill(Buffer.alloc(48)));
      expect(rtmr(bytes, 0).toString("hex")).toMatch(/^f4ec1a04670fe792.*bbddabdc$/u);
      expect(rtmr(bytes, 1).toString("hex")).toMatch(/^4e5f8826653198ab.*e47621b14c$/u);
      // Both are of TDX: a register is as long in either.
      expect(quote.body.rtmr_0).toHaveLength(48);
      const attester = await found({
        files: { "/dev/tdx_guest": "" },
        ioctl: (_path, _request, argument) => void bytes.copy(argument, 64),
      });
      expect(await attester.bindInitdata(Buffer.alloc(48))).toBe("bound");
      await expect(attester.bindInitdata(Buffer.alloc(48, 1))).rejects.toMatchObject({ code: "mismatch" });
    });

    it.each(["tdx_quote_4.dat", "tdx_quote_5.dat"])("%s arrives whole, with its log", async (name) => {
      const log = readFileSync(`${folder}/../eventlog/CCEL_data_ovmf`);
      const attester = await found(
        { tsm: { provider: "tdx_guest", report: () => file(name) } },
        { eventLog: () => Promise.resolve(log) },
      );
      const evidence = await evidenceOf(attester, Buffer.alloc(48));
      expect(evidence["cc_eventlog"]).toBe(log.toString("base64"));
      const quote = Buffer.from(String(evidence["quote"]), "base64");
      expect(quote).toEqual(file(name));
      verifyQuoteSignatures(parseTdQuote(quote), Date.parse("2025-06-01T00:00:00Z"));
    });
  });

  it("a recorded token of CCA arrives whole", async () => {
    const token = file("cca/misc/cca-example-token.cbor");
    const attester = await found({ tsm: { provider: "arm_cca_guest", report: () => token } });
    expect(await evidenceOf(attester, Buffer.alloc(48))).toEqual({ token: [...token] });
  });

  it("a recorded report of a Hopper GPU arrives whole, with its certificates", async () => {
    const report = Buffer.from(file("nvidia/hopperAttestationReport.txt").toString().trim(), "hex");
    const certificates = file("nvidia/hopper_cert_chain_case1.txt");
    // The request stands in front of the report, its nonce behind four bytes of SPDM.
    const reportData = Buffer.concat([report.subarray(4, 36), Buffer.alloc(16)]);
    const asked: string[] = [];
    const gpus = {
      confidential: () => 1,
      report: (_index: number, nonce: Buffer) => {
        asked.push(nonce.toString("hex"));
        return { architecture: 9, uuid: "GPU-0", report, certificates };
      },
    };
    const [attester] = detectDevices(ports({}, { gpus }), {});
    const evidence = await evidenceOf(attester as Attester, reportData);
    expect(asked).toEqual([report.toString("hex", 4, 36)]);
    expect(asked[0]).toMatch(/^931d8dd0/u);
    expect(evidence).toEqual({
      device_evidence_list: [
        {
          arch: "HOPPER",
          uuid: "GPU-0",
          evidence: report.toString("base64"),
          certificate: certificates.toString("base64"),
        },
      ],
    });
    expect(createPublicKey(file("nvidia/hopper_signing_cert.pem")).asymmetricKeyDetails?.namedCurve).toBe("secp384r1");
  });
}

/** A quote as upstream's library stores one: signature, message and values, each behind its number of entries (u64). */
function storedQuote(bytes: Buffer): {
  readonly signature: Buffer;
  readonly message: Buffer;
  readonly pcrs: readonly Buffer[];
} {
  let at = 0;
  const take = (length: number): Buffer => bytes.subarray(at, (at += length));
  const count = (): number => Number(take(8).readBigUInt64LE());
  const [signature, message] = [take(count()), take(count())];
  return { signature, message, pcrs: Array.from({ length: count() }, () => take(32)) };
}
