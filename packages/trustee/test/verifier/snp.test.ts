import { readFileSync } from "node:fs";

import { X509Certificate } from "node:crypto";
import { describe, expect, it } from "vitest";

import { parsePemChain } from "../../src/verifier/certificate.ts";
import { amdKeys } from "../../src/verifier/snp/amd-keys.ts";
import { hardwareId, verifyReport } from "../../src/verifier/snp/endorsement.ts";
import { generationOf, type SnpGeneration } from "../../src/verifier/snp/generation.ts";
import { keyDistributionService, vcekPath } from "../../src/verifier/snp/kds.ts";
import { tcbFileName } from "../../src/verifier/snp/offline-store.ts";
import { parseReport } from "../../src/verifier/snp/report.ts";
import { reportFromJson } from "../../src/verifier/snp/report-json.ts";
import { SnpVerifier } from "../../src/verifier/snp/snp-verifier.ts";
import { extensionsOf } from "../../src/verifier/certificate.ts";
import { vectors } from "../../../../test/setup/data.ts";
import { seeded } from "../../../../test/fixtures/seeded.ts";
import { flipped, mutated } from "../random.ts";
import { makeSnp, reportJson, type SnpOptions } from "./snp-evidence.ts";

async function verify(options: SnpOptions = {}, expected = {}): Promise<Record<string, unknown>> {
  const made = makeSnp(options);
  const [verified] = await new SnpVerifier([], () => made.keys).verify(made.evidence, expected);
  return { ...verified?.claims };
}

describe("evidence of SNP", () => {
  it("gives claims by the names that policies read", async () => {
    expect(await verify({ policy: 0x1b0203n })).toEqual({
      policy_abi_major: 2,
      policy_abi_minor: 3,
      policy_smt_allowed: true,
      policy_migrate_ma: false,
      policy_debug_allowed: true,
      policy_single_socket: true,
      reported_tcb_bootloader: 10,
      reported_tcb_tee: 0,
      reported_tcb_snp: 23,
      reported_tcb_microcode: 200,
      platform_tsme_enabled: true,
      platform_smt_enabled: true,
      measurement: "02".repeat(48),
      report_data: "01".repeat(64),
      init_data: "03".repeat(32),
      chip_id: "07".repeat(8) + "09".repeat(56),
    });
  });

  it.each([3, 4, 5])("is accepted in version %i", async (version) => {
    expect(await verify({ version })).toHaveProperty("reported_tcb_snp", 23);
  });

  it("is read in Turin's layout", async () => {
    expect(await verify({ family: 0x1a, model: 2, version: 5 })).toMatchObject({
      reported_tcb_snp: 23,
      reported_tcb_microcode: 200,
    });
  });

  it.each([1, 2, 6, 0xffffffff])("is refused in version %i", async (version) => {
    await expect(verify({ version })).rejects.toMatchObject({ code: "unsupported" });
  });

  it("is bound to report data, filled up, and to host data, cut", async () => {
    const reportData = Buffer.alloc(48, 5);
    const initDataDigest = Buffer.alloc(48, 6);
    const options = { reportData: Buffer.concat([reportData, Buffer.alloc(16)]), hostData: Buffer.alloc(32, 6) };
    await verify(options, { reportData, initDataDigest });
    await expect(verify(options, { reportData: Buffer.alloc(48, 4) })).rejects.toMatchObject({ code: "mismatch" });
    await expect(verify(options, { initDataDigest: Buffer.alloc(48, 4) })).rejects.toMatchObject({ code: "mismatch" });
  });

  it("is accepted from a hoster's key", async () => {
    expect(await verify({ kind: "VLEK" })).toHaveProperty("policy_debug_allowed", false);
  });

  it.each([
    ["another privilege level", { vmpl: 1 }, "expected VMPL 0, got 1"],
    ["a key for other versions", { certified: { snp: 22 } }, "SNP version mismatch"],
    ["a key of another chip", { certified: { chipId: Buffer.alloc(64, 1) } }, "expected the chip"],
    ["an unknown CPU", { family: 0x18 }, "no known generation"],
  ] as const)("is refused with %s", async (_, options, text) => {
    await expect(verify(options)).rejects.toThrow(text);
  });

  it("is accepted where the chip hides its identity", async () => {
    await verify({ chipId: Buffer.alloc(64), certified: { chipId: Buffer.alloc(64, 1) } });
  });

  it("is refused when a hoster's certificate is passed off as a chip's", async () => {
    const made = makeSnp({ kind: "VLEK" });
    const evidence = { ...made.evidence, cert_chain: [{ cert_type: "VCEK", data: [...made.vek] }] };
    await expect(new SnpVerifier([], () => made.keys).verify(evidence, {})).rejects.toMatchObject({
      code: "signature",
    });
    const swapped = { ask: made.keys.asvk, asvk: made.keys.ask };
    await expect(new SnpVerifier([], () => swapped).verify(evidence, {})).rejects.toMatchObject({ code: "mismatch" });
  });

  it.each([
    ["no key and no source", { cert_chain: null }, "collateral"],
    ["an empty list and no source", { cert_chain: [] }, "collateral"],
    ["certificates of other kinds only", { cert_chain: [{ cert_type: "ARK", data: [1] }] }, "evidence"],
    ["a certificate that is none", { cert_chain: [{ cert_type: "VCEK", data: [1, 2, 3] }] }, "evidence"],
    [
      "two keys",
      {
        cert_chain: [
          { cert_type: "VCEK", data: [1] },
          { cert_type: "VLEK", data: [1] },
        ],
      },
      "evidence",
    ],
    ["no report", { attestation_report: undefined }, "evidence"],
  ])("is refused with %s", async (_, change, code) => {
    const made = makeSnp();
    await expect(
      new SnpVerifier([], () => made.keys).verify({ ...made.evidence, ...change }, {}),
    ).rejects.toMatchObject({ code });
  });

  it("takes the chip's key from the first source that has it", async () => {
    const made = makeSnp();
    const asked: string[] = [];
    const source = (name: string, der?: Uint8Array) => ({
      find: (generation: SnpGeneration) => {
        asked.push(`${name} ${generation}`);
        return Promise.resolve(der);
      },
    });
    const verifier = new SnpVerifier([source("store"), source("service", made.vek)], () => made.keys);
    await verifier.verify({ ...made.evidence, cert_chain: null }, {});
    expect(asked).toEqual(["store Milan", "service Milan"]);
  });

  it("is refused after any byte of the signed part, or of the signature, was changed", () => {
    const made = makeSnp({ version: 5 });
    const report = (bytes: Buffer): void =>
      verifyReport(parseReport(bytes), { kind: "VCEK", der: made.vek }, made.keys);
    report(made.report);
    for (let at = 0; at < 0x2a0 + 144; at++)
      expect(() => report(flipped(made.report, at, at % 8)), `byte ${at}`).toThrow();
  });

  it("keeps 64-bit fields exact from JSON", () => {
    const made = makeSnp({ version: 5 });
    expect(reportFromJson(reportJson(made.report))).toEqual(made.report);
  });

  it("comes back as a report or as an error of evidence, whatever the JSON", () => {
    const random = seeded(20);
    const made = reportJson(makeSnp({ version: 4 }).report);
    const values = [
      null,
      -1,
      1.5,
      2 ** 53,
      2n ** 64n,
      "1",
      [],
      [1, 2],
      {},
      Array.from({ length: 64 }, () => 256),
      true,
    ];
    for (let i = 0; i < 3000; i++) {
      const names = Object.keys(made);
      const name = names[random(names.length)] ?? "";
      try {
        parseReport(reportFromJson({ ...made, [name]: values[random(values.length)] }));
      } catch (error) {
        expect(error).toHaveProperty("name", "TrusteeError");
      }
    }
  });

  it("never fails other than by refusing a certificate (seed 21)", async () => {
    const random = seeded(21);
    const made = makeSnp();
    for (let i = 0; i < 400; i++) {
      const data = [...mutated(made.vek, random)];
      if (Buffer.from(data).equals(made.vek)) continue;
      const evidence = { ...made.evidence, cert_chain: [{ cert_type: "VCEK", data }] };
      await expect(new SnpVerifier([], () => made.keys).verify(evidence, {})).rejects.toHaveProperty(
        "name",
        "TrusteeError",
      );
    }
  });
});

describe("sources of keys", () => {
  const tcb = { bootloader: 2, tee: 0, snp: 6, microcode: 21 };

  it("have names and addresses by the versions", () => {
    expect(tcbFileName(tcb)).toBe("bl02_tee00_snp06_ucode21");
    expect(tcbFileName({ ...tcb, fmc: 1 })).toBe("bl02_tee00_snp06_ucode21_fmc01");
    const chip = Buffer.alloc(64, 0xab);
    expect(vcekPath("Milan", chip, tcb)).toBe(
      `/vcek/v1/Milan/${"ab".repeat(64)}?blSPL=02&teeSPL=00&snpSPL=06&ucodeSPL=21`,
    );
    expect(vcekPath("Turin", chip, { ...tcb, fmc: 1 })).toBe(
      `/vcek/v1/Turin/${"ab".repeat(8)}?fmcSPL=01&blSPL=02&teeSPL=00&snpSPL=06&ucodeSPL=21`,
    );
  });

  it("ask AMD's service once for many guests, and again after a failure", async () => {
    let calls = 0;
    const service = keyDistributionService("https://kds", () => {
      calls++;
      return calls === 1 ? Promise.reject(new Error("429")) : Promise.resolve(Buffer.from("der"));
    });
    const find = (): Promise<unknown> => service.find("Milan", Buffer.alloc(64), tcb);
    await expect(find()).rejects.toMatchObject({ code: "collateral" });
    await Promise.all([find(), find(), find()]);
    expect(calls).toBe(2);
  });
});

it.each([
  [0x19, 0x01, "Milan"],
  [0x19, 0x11, "Genoa"],
  [0x19, 0xa0, "Genoa"],
  [0x1a, 0x11, "Turin"],
  [0x19, 0x20, undefined],
  [0x1a, 0x12, undefined],
])("CPU family %i, model %i is %s", (family, model, generation) => {
  expect(generationOf(family, model)).toBe(generation);
});

const data = vectors("attestation/snp");
if (data === undefined) {
  it("AMD's keys are RSA of 4096 bits (no vectors)", () => {
    for (const generation of ["Milan", "Genoa", "Turin"] as const) {
      expect(amdKeys(generation).ask.asymmetricKeyDetails?.modulusLength).toBe(4096);
    }
  });
} else {
  const file = (name: string): Buffer => readFileSync(`${data}/${name}`);

  describe("recorded SNP reports", () => {
    const vcek = { kind: "VCEK", der: file("test-vcek.der") } as const;
    const vlek = { kind: "VLEK", der: file("test-vlek.der") } as const;
    const report = file("test-report.bin");
    const check = (bytes: Buffer, key: typeof vcek | typeof vlek, generation: SnpGeneration = "Milan"): void =>
      verifyReport(parseReport(bytes), key, amdKeys(generation));

    it("are signed by their keys", () => {
      check(report, vcek);
      check(file("test-vlek-report.bin"), vlek);
    });

    it("are refused as evidence: version 2, and another privilege level", async () => {
      const verifier = new SnpVerifier([]);
      await expect(verifier.verifyGenuine(parseReport(report), vcek)).rejects.toMatchObject({ code: "unsupported" });
      await expect(verifier.verifyGenuine(parseReport(file("test-vlek-report.bin")), vlek)).rejects.toThrow(
        "expected VMPL 0, got 1",
      );
    });

    it("are refused with AMD's keys of another generation, or of the other kind", () => {
      expect(() => check(report, vcek, "Genoa")).toThrow("expected its issuer's signature");
      expect(() => check(report, { ...vlek, der: vcek.der })).toThrow("expected its issuer's signature");
    });

    it("are refused after a change of versions, or of any byte of the signed part", () => {
      expect(() => check(flipped(report, 384), vcek)).toThrow("version mismatch");
      for (let at = 0; at < 0x2a0; at++) expect(() => check(flipped(report, at, at % 8), vcek), `byte ${at}`).toThrow();
    });

    it("are refused after a change of any byte of the key's certificate", () => {
      const random = seeded(22);
      for (let i = 0; i < 150; i++) {
        const at = random(vcek.der.length);
        expect(() => check(report, { kind: "VCEK", der: flipped(vcek.der, at, random(8)) }), `byte ${at}`).toThrow();
      }
    });

    it.each(["test-vcek-invalid-legacy.der", "test-vcek-invalid-new.der"])("%s is read, and not AMD's", (name) => {
      const identifier = extensionsOf(new X509Certificate(file(name))).get("1.3.6.1.4.1.3704.1.4");
      expect(hardwareId(identifier ?? Buffer.alloc(0))).toHaveLength(64);
      expect(() => check(report, { kind: "VCEK", der: file(name) })).toThrow("expected its issuer's signature");
    });
  });

  it.each(["Milan", "Genoa", "Turin"] as const)("AMD's keys of %s are those that its root signed", (generation) => {
    const [ask, ark, asvk] = parsePemChain(file(`${generation.toLowerCase()}_ask_ark_asvk.pem`).toString(), "AMD");
    expect(ark?.verify(ark.publicKey)).toBe(true);
    for (const [certificate, key] of [
      [ask, amdKeys(generation).ask],
      [asvk, amdKeys(generation).asvk],
    ] as const) {
      expect(ark !== undefined && certificate?.verify(ark.publicKey)).toBe(true);
      expect(certificate?.publicKey.equals(key)).toBe(true);
    }
  });
}
