import { createHash, randomBytes, X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type Attester, detectAttester, Tpm } from "@nacre/attesters";
import type { AzSnpVtpmEvidence, AzTdxVtpmEvidence } from "@nacre/kbs-protocol";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { certificate as makeCertificate } from "../fixtures/certificate.ts";
import { checkQuote } from "../fixtures/check-quote.ts";
import { SwtpmDevice } from "../fixtures/swtpm-device.ts";

/** What Azure's paravisor has in its vTPM, and where. */
const AK = 0x8100_0003;
const REPORT_INDEX = 0x0140_0001;
const USER_DATA_INDEX = 0x0140_0002;
/** The tag of its machines; beside what SNP has elsewhere, which comes after. */
const FILES = {
  "/sys/class/dmi/id/chassis_asset_tag": "7783-7084-3265-9085-8269-3286-77\n",
  "/sys/devices/platform/sev-guest": "",
};
/** TPMT_SIGNATURE's head: RSASSA, SHA-256, 256 bytes. */
const FRAME = Buffer.from("0014000b0100", "hex");

/** A real TPM's program in the place of Azure's, with what the paravisor would have written. */
let folder: string;
let tpm: SwtpmDevice;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "nacre-azure-"));
  tpm = await SwtpmDevice.start(folder, { handle: AK, files: FILES });
});
afterEach(async () => {
  await tpm[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

/** Of SNP (2) or TDX (4), longer than the TPM gives at once. */
function hclReport(type: number): Buffer {
  const report = randomBytes(1500);
  report.write("HCLA", 0, "latin1");
  report.writeUInt32LE(type, 32 + 1184 + 8);
  return report;
}

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body: string | undefined;
}

async function azure(report: Buffer | undefined, answer = "", asked: Asked[] = []): Promise<Attester> {
  if (report !== undefined) await new Tpm(tpm.devices, "/dev/tpm0").writeNv(REPORT_INDEX, report);
  const nothing = (): never => {
    throw new Error("expected no device but the TPM");
  };
  return await detectAttester(
    {
      devices: tpm.devices,
      env: {},
      eventLog: () => Promise.resolve(undefined),
      metadata: {
        request: (method, path, body) => {
          asked.push({ method, path, body });
          return Promise.resolve(answer);
        },
      },
      gpus: { confidential: () => 0, report: nothing },
      switches: { trusted: () => [], report: nothing },
    },
    { tpm: true },
  );
}

/** What tpm2-tools say of a quote in Azure's form, by the key that really lies there; undefined where it is right. */
async function checked(quote: AzSnpVtpmEvidence["tpm_quote"], nonce: Buffer): Promise<string | undefined> {
  const key = await new Tpm(tpm.devices, "/dev/tpm0").readPublic(AK);
  const base64 = (hex: string): string => Buffer.from(hex, "hex").toString("base64");
  const signature = Buffer.concat([FRAME, Buffer.from(quote.signature, "hex")]).toString("base64");
  const ak = key.export({ format: "der", type: "spki" }).toString("base64");
  const evidence = { ak_public: ak, tpm_quote: { signature, message: base64(quote.message), pcrs: quote.pcrs } };
  return await checkQuote(folder, evidence, nonce);
}

const fromUrlSafe = (text: string): Buffer => {
  expect(text.length % 4).toBe(0);
  return Buffer.from(text.replaceAll("-", "+").replaceAll("_", "/"), "base64");
};

describe("the attester of Azure's machines", () => {
  it("with SNP has a quote over report data as it is, the paravisor's report, and the chip's certificate", async () => {
    const report = hclReport(2);
    const certificate = readFileSync(makeCertificate(folder, "chip").certificate, "utf8");
    const asked: Asked[] = [];
    const attester = await azure(report, JSON.stringify({ vcekCert: certificate, more: 1 }), asked);
    expect(attester.tee).toBe("az-snp-vtpm");
    const reportData = randomBytes(48);
    const evidence = JSON.parse(await attester.evidence(reportData)) as AzSnpVtpmEvidence;
    expect(Object.keys(evidence)).toEqual(["version", "tpm_quote", "hcl_report", "vcek"]);
    expect(evidence.version).toBe(2);
    expect(fromUrlSafe(evidence.hcl_report)).toEqual(report);
    expect(fromUrlSafe(evidence.vcek)).toEqual(new X509Certificate(certificate).raw);
    expect(asked).toEqual([{ method: "GET", path: "/metadata/THIM/amd/certification", body: undefined }]);
    expect(await checked(evidence.tpm_quote, reportData)).toBeUndefined();
    expect(await checked(evidence.tpm_quote, randomBytes(48))).toBeDefined();
    // What the paravisor puts into the next report of the hardware.
    const filled = Buffer.concat([reportData, Buffer.alloc(16)]);
    expect(await new Tpm(tpm.devices, "/dev/tpm0").readNv(USER_DATA_INDEX)).toEqual(filled);
    await expect(attester.evidence(Buffer.alloc(65))).rejects.toThrow("report data of at most 64 bytes");
  });

  it("with TDX has a quote of the machine's report by the metadata service", async () => {
    const report = hclReport(4);
    const asked: Asked[] = [];
    const quote = randomBytes(100);
    const attester = await azure(report, JSON.stringify({ quote: quote.toString("base64url") }), asked);
    expect(attester.tee).toBe("az-tdx-vtpm");
    const reportData = randomBytes(48);
    const evidence = JSON.parse(await attester.evidence(reportData)) as AzTdxVtpmEvidence;
    expect(Object.keys(evidence)).toEqual(["version", "tpm_quote", "hcl_report", "td_quote"]);
    expect(fromUrlSafe(evidence.td_quote)).toEqual(quote);
    const body = JSON.stringify({ report: report.subarray(32, 32 + 1024).toString("base64url") });
    expect(asked).toEqual([{ method: "POST", path: "/acc/tdquote", body }]);
    expect(await checked(evidence.tpm_quote, reportData)).toBeUndefined();
  });

  it("binds initdata by register 8, and takes digests of 32 bytes alone", async () => {
    const attester = await azure(hclReport(2));
    const digest = createHash("sha256").update("initdata").digest();
    expect(await attester.bindInitdata(digest)).toBe("bound");
    const register = createHash("sha256").update(Buffer.alloc(32)).update(digest).digest();
    expect(await new Tpm(tpm.devices, "/dev/tpm0").readPcr(8)).toEqual(register);
    await expect(attester.bindInitdata(randomBytes(48))).rejects.toMatchObject({ code: "input" });
    await expect(attester.bindInitdata(randomBytes(32))).rejects.toMatchObject({ code: "mismatch" });
    expect(attester.measurement?.hash).toBe("sha256");
  });

  it("is none of a machine without the paravisor's report, or with one of another kind", async () => {
    expect((await azure(undefined)).tee).toBe("snp");
    expect((await azure(hclReport(7))).tee).toBe("snp");
  });
});
