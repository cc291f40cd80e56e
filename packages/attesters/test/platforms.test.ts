import { createHash, randomBytes } from "node:crypto";

import { describe, expect, it } from "vitest";

import {
  AttesterError,
  type Attester,
  detectAttester,
  detectDevices,
  type DetectPorts,
  type Gpus,
  type Switches,
  parseCertificates,
  parseSnpReport,
  formatSnpReport,
  sampleAttester,
  sampleDeviceAttester,
  tdxRegister,
} from "../src/index.ts";
import { FakeDevices, type FakeOptions } from "./fake-devices.ts";

const NO_GPUS: Gpus = {
  confidential: () => 0,
  report: () => {
    throw new Error("no GPU");
  },
};

const NO_SWITCHES: Switches = {
  trusted: () => [],
  report: () => {
    throw new Error("no switch");
  },
};

function ports(options: FakeOptions = {}, more: Partial<DetectPorts> = {}): DetectPorts & { devices: FakeDevices } {
  const devices = new FakeDevices(options);
  return {
    env: {},
    eventLog: () => Promise.resolve(undefined),
    metadata: { request: () => Promise.reject(new Error("no metadata")) },
    gpus: NO_GPUS,
    switches: NO_SWITCHES,
    ...more,
    devices,
  };
}

const anything = { sample: sampleAttester, sampleDevice: sampleDeviceAttester, tpm: true };
const json = async (attester: Pick<Attester, "evidence">, data: Uint8Array): Promise<unknown> =>
  JSON.parse(await attester.evidence(data));

const DATA = randomBytes(48);
const PADDED = Buffer.concat([DATA, Buffer.alloc(16)]);

/** A report as AMD lays it out, with the bytes that matter distinct. */
function snpReport(change: (report: Buffer) => void = () => undefined): (inblob: Buffer) => Buffer {
  return (inblob) => {
    const report = Buffer.alloc(1184);
    report.writeUInt32LE(3, 0);
    report.writeBigUInt64LE(0x30000n, 8);
    inblob.copy(report, 0x50);
    report.fill(0xab, 0xc0, 0xe0);
    report.set([1, 2, 0, 0, 0, 0, 3, 4], 0x180);
    report.set([0x19, 0x11, 1], 0x188);
    report.fill(0x77, 0x1a0, 0x1e0);
    report.set([9, 8, 7], 0x1e8);
    report.fill(0x11, 0x2a0, 0x2a0 + 48);
    change(report);
    return report;
  };
}

const TSM_TDX = { provider: "tdx_guest", report: (inblob: Buffer) => Buffer.concat([Buffer.from("quote:"), inblob]) };
const TSM_SNP = { provider: "sev_guest", report: snpReport() };
const TSM_CCA = { provider: "arm_cca_guest", report: (inblob: Buffer) => inblob };
const MEASUREMENTS = "/sys/devices/virtual/misc/tdx_guest/measurements";

describe("detection", () => {
  it.each<[string, FakeOptions]>([
    ["tdx", { tsm: TSM_TDX }],
    ["tdx", { files: { "/dev/tdx_guest": "", "/sys/devices/platform/sev-guest/x": "" } }],
    ["sgx", { files: { "/dev/attestation/attestation_type": "dcap", "/dev/tpm0": "" } }],
    ["sgx", { files: { "/dev/attestation/attestation_type": "dcap", "/sys/devices/platform/sev-guest/x": "" } }],
    ["snp", { tsm: TSM_SNP, files: { "/dev/tpm0": "" } }],
    ["snp", { files: { "/sys/devices/platform/sev-guest/x": "", "/dev/csv-guest": "" } }],
    ["cca", { tsm: TSM_CCA, files: { "/dev/uv": "", "/dev/tpm0": "" } }],
    ["snp", { files: { "/sys/devices/platform/sev-guest/x": "" } }],
    ["cca", { tsm: TSM_CCA }],
    ["tpm", { files: { "/dev/tpm1": "" } }],
    ["sample", {}],
    ["sample", { files: { "/sys/kernel/config/tsm/report/x": "", "/dev/attestation/attestation_type": "none" } }],
  ])("finds %s by %j", async (tee, options) => {
    expect((await detectAttester(ports(options), anything)).tee).toBe(tee);
  });

  it("finds nothing where a flavour has no fallbacks", async () => {
    const closed = { tpm: false };
    await expect(detectAttester(ports(), closed)).rejects.toThrow("no TEE: expected tdx, sgx, az-tdx-vtpm");
    await expect(detectAttester(ports({ files: { "/dev/tpm0": "" } }), closed)).rejects.toThrow("no TEE");
    expect((await detectAttester(ports({ tsm: TSM_TDX }), closed)).tee).toBe("tdx");
  });

  it("finds what is pinned, or nothing", async () => {
    const both = { tsm: TSM_TDX, files: { "/sys/devices/platform/sev-guest/x": "", "/dev/tpm0": "" } };
    expect((await detectAttester(ports(both), anything, "snp")).tee).toBe("snp");
    expect((await detectAttester(ports(both), anything, "tpm")).tee).toBe("tpm");
    expect((await detectAttester(ports(both), anything, "sample")).tee).toBe("sample");
    await expect(detectAttester(ports(), anything, "snp")).rejects.toThrow("no TEE: expected snp, got none");
    await expect(detectAttester(ports(both), { tpm: false }, "sample")).rejects.toThrow("expected sample");
  });

  it.each<[string, FakeOptions]>([
    ["csv", { files: { "/dev/csv-guest": "", "/dev/tpm0": "" } }],
    ["csv", { tsm: TSM_CCA, files: { "/dev/csv-guest": "" } }],
    ["se", { files: { "/dev/uv": "", "/dev/tpm0": "" } }],
  ])("says of %s that it is unsupported, before it would find another: %j", async (tee, options) => {
    await expect(detectAttester(ports(options), anything)).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining(`${tee} is unsupported: `) as string,
    });
  });

  it.each(["se", "csv", "hygondcu", "nvidia-dpu"] as const)(
    "says of %s that it is unsupported, where an image pins it",
    async (tee) => {
      const tdx = ports({ tsm: TSM_TDX });
      await expect(detectAttester(tdx, anything, tee)).rejects.toMatchObject({
        code: "unsupported",
        message: expect.stringContaining(`${tee} is unsupported: `) as string,
      });
    },
  );

  it("finds devices", async () => {
    const env = { ENABLE_SAMPLE_DEVICE: "" };
    expect(detectDevices(ports(), anything)).toEqual([]);
    const [device] = detectDevices(ports({}, { env }), anything);
    expect(await json(device as Attester, DATA)).toEqual({ report_data: DATA.toString("base64"), svn: "2" });
    expect(detectDevices(ports({}, { env }), {})).toEqual([]);
    expect(() => detectDevices(ports({ files: { "/dev/mkfd": "" } }), {})).toThrow("hygondcu is unsupported");
  });
});

describe("sample", () => {
  it("holds report data as it is", async () => {
    expect(await sampleAttester().evidence(DATA)).toBe(`{"report_data":"${DATA.toString("base64")}","svn":"1"}`);
    expect(await sampleAttester().bindInitdata(Buffer.alloc(32))).toBe("unsupported");
  });
});

describe("tdx", () => {
  it("makes a quote over report data filled up, with the log beside it, and leaves nothing behind", async () => {
    const one = ports({ tsm: TSM_TDX }, { eventLog: () => Promise.resolve(Buffer.from("log")) });
    const attester = await detectAttester(one, anything);
    expect(await json(attester, DATA)).toEqual({
      cc_eventlog: Buffer.from("log").toString("base64"),
      quote: Buffer.concat([Buffer.from("quote:"), PADDED]).toString("base64"),
    });
    expect([...one.devices.folders]).toEqual(["/sys/kernel/config/tsm/report"]);
    expect(one.devices.writes.filter((path) => path.endsWith("/inblob"))).toHaveLength(1);
    expect(await json(await detectAttester(ports({ tsm: TSM_TDX }), anything), DATA)).toMatchObject({
      cc_eventlog: null,
    });
  });

  it("does not take a quote that somebody else asked for, or more data than there is room for", async () => {
    const raced = await detectAttester(ports({ tsm: TSM_TDX, interfere: true }), anything);
    await expect(raced.evidence(DATA)).rejects.toThrow("expected generation 1, got 9");
    await expect(raced.evidence(Buffer.alloc(65))).rejects.toThrow("report data of at most 64 bytes, got 65");
  });

  it("compares initdata with MRCONFIGID, by file or by report", async () => {
    const digest = randomBytes(32);
    const register = Buffer.concat([digest, Buffer.alloc(16)]);
    const byFile = ports({ tsm: TSM_TDX, files: { [`${MEASUREMENTS}/mrconfigid`]: register } });
    expect(await (await detectAttester(byFile, anything)).bindInitdata(digest)).toBe("bound");
    const byReport = ports({
      files: { "/dev/tdx_guest": "" },
      ioctl: (path, request, argument) => {
        expect([path, request, argument.length]).toEqual(["/dev/tdx_guest", 0xc4405401, 1088]);
        register.copy(argument, 64 + 576);
      },
    });
    const attester = await detectAttester(byReport, anything);
    expect(await attester.bindInitdata(digest)).toBe("bound");
    await expect(attester.bindInitdata(randomBytes(48))).rejects.toMatchObject({ code: "mismatch" });
    expect(attester.measurement).toBeUndefined();
  });

  it("extends the register that stands for a PCR", async () => {
    const files = Object.fromEntries([0, 1, 2, 3].map((n) => [`${MEASUREMENTS}/rtmr${n}:sha384`, Buffer.alloc(48)]));
    const one = ports({ tsm: TSM_TDX, files });
    const { measurement } = await detectAttester(one, anything);
    expect([0, 1, 2, 6, 7, 8, 15, 16, 17, 400].map(tdxRegister)).toEqual([4, 1, 2, 2, 1, 3, 3, 4, 4, 4]);
    const digest = randomBytes(48);
    await measurement?.extend(4, digest);
    const value = createHash("sha384").update(Buffer.alloc(48)).update(digest).digest();
    expect(await measurement?.read(4)).toEqual(value);
    expect(one.devices.files.get(`${MEASUREMENTS}/rtmr3:sha384`)).toEqual(value);
  });
});

describe("snp", () => {
  it("takes a report apart as brokers read it", async () => {
    const evidence = (await json(await detectAttester(ports({ tsm: TSM_SNP }), anything), DATA)) as {
      attestation_report: Record<string, unknown>;
      cert_chain: unknown;
    };
    expect(evidence.cert_chain).toBeNull();
    expect(evidence.attestation_report).toMatchObject({
      version: 3,
      policy: 0x30000,
      report_data: [...PADDED],
      reported_tcb: { fmc: null, bootloader: 1, tee: 2, snp: 3, microcode: 4 },
      cpuid_fam_id: 0x19,
      current: { major: 7, minor: 8, build: 9 },
      launch_mit_vector: null,
    });
    expect(Object.keys(evidence.attestation_report).join(" ")).toBe(
      "version guest_svn policy family_id image_id vmpl sig_algo current_tcb plat_info key_info report_data measurement " +
        "host_data id_key_digest author_key_digest report_id report_id_ma reported_tcb cpuid_fam_id cpuid_mod_id " +
        "cpuid_step chip_id committed_tcb current committed launch_tcb launch_mit_vector current_mit_vector signature",
    );
  });

  it("knows Turin's order, and integers beyond 2^53", () => {
    const turin = snpReport((report) => {
      report.writeUInt32LE(5, 0);
      report.writeUInt8(0x1a, 0x188);
      report.writeBigUInt64LE(0xffff_ffff_ffff_fffen, 0x1f8);
    })(Buffer.alloc(64));
    const report = parseSnpReport(turin);
    expect(report.reported_tcb).toEqual({ fmc: 1, bootloader: 2, tee: 0, snp: 0, microcode: 4 });
    expect(formatSnpReport(report)).toContain('"launch_mit_vector":18446744073709551614,"current_mit_vector":0,');
    expect(() => parseSnpReport(Buffer.alloc(1183))).toThrow("expected 1184 bytes, got 1183");
    expect(() => parseSnpReport(Buffer.alloc(1184, 9))).toThrow("expected version 2 to 5");
  });

  it("compares initdata with HOSTDATA, cut or filled up", async () => {
    const attester = await detectAttester(ports({ tsm: TSM_SNP }), anything);
    expect(await attester.bindInitdata(Buffer.alloc(48, 0xab))).toBe("bound");
    await expect(attester.bindInitdata(Buffer.alloc(31, 0xab))).rejects.toMatchObject({ code: "mismatch" });
  });

  it("asks the device where the kernel has no configfs-tsm, twice where the certificates are long", async () => {
    const table = Buffer.alloc(20_000);
    Buffer.from("63da758de6644564adc5f4b93be8accd", "hex").copy(table);
    table.writeUInt32LE(48, 16);
    table.writeUInt32LE(3, 20);
    table.set([1, 2, 3], 48);
    const rooms: number[] = [];
    const one = ports({
      files: { "/sys/devices/platform/sev-guest/x": "", "/dev/sev-guest": "" },
      ioctl: (path, request, argument, [asked, response]) => {
        expect([path, request, argument[0]]).toEqual(["/dev/sev-guest", 0xc0205302, 1]);
        if (asked === undefined || response === undefined) throw new Error("expected pointers");
        const [certificates] = asked.inner ?? [];
        const room = asked.block.readUInt32LE(104);
        rooms.push(room);
        if (room < table.length) {
          argument.writeUInt32LE(1, 28);
          asked.block.writeUInt32LE(20_480, 104);
          throw new Error("EIO");
        }
        table.copy(certificates?.block ?? Buffer.alloc(0));
        response.block.writeUInt32LE(1184, 4);
        snpReport()(asked.block.subarray(0, 64)).copy(response.block, 32);
      },
    });
    const evidence = await json(await detectAttester(one, anything), DATA);
    expect(evidence).toMatchObject({
      attestation_report: { report_data: [...PADDED] },
      cert_chain: [{ cert_type: "VCEK", data: [1, 2, 3] }],
    });
    expect(rooms).toEqual([16_384, 20_480]);
  });

  it("does not take a table that leads outside", () => {
    const table = Buffer.alloc(64);
    table.fill(1, 0, 16);
    table.writeUInt32LE(60, 16);
    table.writeUInt32LE(5, 20);
    expect(() => parseCertificates(table)).toThrow(AttesterError);
    table.writeUInt32LE(0xffff_ffff, 16);
    expect(() => parseCertificates(table)).toThrow("expected an entry within 64 bytes");
    expect(parseCertificates(Buffer.alloc(0))).toBeNull();
    table.writeUInt32LE(60, 16);
    table.writeUInt32LE(4, 20);
    expect(parseCertificates(table)).toEqual([
      { cert_type: { OTHER: "01010101-0101-0101-0101-010101010101" }, data: [0, 0, 0, 0] },
    ]);
    expect(() => parseCertificates(Buffer.alloc(24 * 70, 1).fill(0, 16, 17))).toThrow(AttesterError);
  });
});

describe("cca and sgx", () => {
  it("hold report data filled up", async () => {
    expect(await json(await detectAttester(ports({ tsm: TSM_CCA }), anything), DATA)).toEqual({ token: [...PADDED] });
    const one = ports({
      files: { "/dev/attestation/attestation_type": "dcap", "/dev/attestation/quote": "quote" },
    });
    const sgx = await detectAttester(one, anything);
    expect(await json(sgx, DATA)).toEqual({ quote: Buffer.from("quote").toString("base64") });
    expect(one.devices.files.get("/dev/attestation/user_report_data")).toEqual(PADDED);
    expect(await sgx.bindInitdata(DATA)).toBe("unsupported");
    await expect(sgx.evidence(Buffer.alloc(65))).rejects.toThrow(
      "SGX: expected report data of at most 64 bytes, got 65",
    );
    const without = ports({ files: { "/dev/attestation/attestation_type": "dcap" } });
    await expect((await detectAttester(without, anything)).evidence(DATA)).rejects.toThrow(
      "expected /dev/attestation/quote",
    );
    const cca = await detectAttester(ports({ tsm: TSM_CCA }), anything);
    expect(await cca.bindInitdata(DATA)).toBe("unsupported");
    await expect(cca.evidence(Buffer.alloc(65))).rejects.toThrow(
      "CCA: expected report data of at most 64 bytes, got 65",
    );
  });
});

describe("nvidia", () => {
  const gpus = (architecture: number): Gpus => ({
    confidential: () => 2,
    report: (index, nonce) => ({
      architecture,
      uuid: `GPU-${index}`,
      report: Buffer.concat([Buffer.from("report"), nonce]),
      certificates: Buffer.from("PEM"),
    }),
  });

  it("asks each GPU with what report data begins with", async () => {
    const [attester] = detectDevices(ports({}, { gpus: gpus(9) }), {});
    expect(await json(attester as Attester, DATA)).toEqual({
      device_evidence_list: [0, 1].map((index) => ({
        arch: "HOPPER",
        uuid: `GPU-${index}`,
        evidence: Buffer.concat([Buffer.from("report"), DATA.subarray(0, 32)]).toString("base64"),
        certificate: Buffer.from("PEM").toString("base64"),
      })),
    });
    const [other] = detectDevices(ports({}, { gpus: gpus(10) }), {});
    expect(await other?.evidence(Buffer.from("short"))).toContain("BLACKWELL");
  });

  const switches = (architecture: number): Switches => ({
    trusted: () => ["SWX-1"],
    report: (uuid, nonce) => ({
      architecture,
      report: Buffer.concat([Buffer.from(uuid), nonce]),
      certificates: Buffer.from("chain"),
    }),
  });

  it("asks switches behind the GPUs, or alone", async () => {
    const one = {
      arch: "LS10",
      uuid: "SWX-1",
      evidence: Buffer.concat([Buffer.from("SWX-1"), DATA.subarray(0, 32)]).toString("base64"),
      certificate: Buffer.from("chain").toString("base64"),
    };
    const [alone] = detectDevices(ports({}, { switches: switches(2) }), {});
    expect(await json(alone as Attester, DATA)).toEqual({ device_evidence_list: [one] });
    const [both] = detectDevices(ports({}, { gpus: gpus(9), switches: switches(2) }), {});
    expect(await json(both as Attester, DATA)).toMatchObject({
      device_evidence_list: [{ arch: "HOPPER" }, { arch: "HOPPER" }, one],
    });
  });

  it("knows no other kinds", () => {
    const [attester] = detectDevices(ports({}, { gpus: gpus(7) }), {});
    expect(() => attester?.evidence(DATA)).toThrow("expected Hopper or Blackwell, got 7");
    const [other] = detectDevices(ports({}, { switches: switches(1) }), {});
    expect(() => other?.evidence(DATA)).toThrow("switch SWX-1: expected LS10, got 1");
  });
});
