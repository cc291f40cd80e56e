import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempDisposableSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { FLAVOURS } from "../../guest-rootfs/flavour.ts";
import { authenticodeDigest, peSections } from "../../guest-rootfs/image/pe.ts";
import type { LaunchValues } from "../../guest-rootfs/measure/launch-values.ts";
import { guidAt, guidBytes, parseFirmware } from "../../guest-rootfs/measure/ovmf.ts";
import { kernelStubRegister, optionsRegister } from "../../guest-rootfs/measure/pcr.ts";
import type { RvpsMessage } from "../../guest-rootfs/measure/reference-values.ts";
import { type DirectBoot, snpMeasurement } from "../../guest-rootfs/measure/snp.ts";
import { tdxMrtd } from "../../guest-rootfs/measure/tdx.ts";
import { CPU_SIGNATURES } from "../../guest-rootfs/measure/vmsa.ts";
import { ROOT } from "../../guest-rootfs/paths.ts";
import { seeded } from "../fixtures/seeded.ts";
import { builtImage } from "../fixtures/boot-image.ts";
import { firmware } from "../fixtures/firmware.ts";

const BOOT: DirectBoot = {
  kernel: Buffer.from("a kernel"),
  initramfs: Buffer.from("an initramfs"),
  commandLine: "console=ttyS0",
};

describe("the SNP launch measurement", () => {
  const measure = (hashes: boolean, boot: DirectBoot | undefined, cpu: string, processors: number): string =>
    snpMeasurement({
      firmware: parseFirmware(firmware({ kernelHashes: hashes })),
      processors,
      signature: CPU_SIGNATURES[cpu] ?? 0,
      boot,
    }).toString("hex");

  // By sev-snp-measure 0.0.13, of the firmware of test/fixtures/firmware.ts.
  it.for([
    [
      true,
      BOOT,
      "EPYC-Milan",
      1,
      "475274b9ea518214cd5d4bee2ca017e689e42771407c4e90866990e7371adf4a9eca7ff237c28eafc7988024ab6edfb9",
    ],
    [
      true,
      BOOT,
      "EPYC-Genoa",
      4,
      "56c3a8aa4138d82c61a9a8fa55ddd2f4e07b938249b83973d7c3818b79271e9700108cccba2ee97e336ccb3b161d847d",
    ],
    [
      true,
      { ...BOOT, initramfs: undefined },
      "EPYC-Milan",
      1,
      "944549cd0ec28557ce4e539cf410a91e642653d0a302f49bce61c3916a98128d9849cd2e1c8ea038930a9c76cd3ddf39",
    ],
    [
      true,
      undefined,
      "EPYC-Milan",
      1,
      "ff67f83c96af11c22be1942791d72da82ec83481d1e17997f802ed3f3fcca3aabc6236e443f26528858598506f856bb1",
    ],
    [
      true,
      undefined,
      "EPYC-Genoa",
      4,
      "55d75c9442a24713ec9e1dc9cd53572b227299d8e07d0bf6f411b058481e24a68979db052cbf2aa72d8effa22a174365",
    ],
    [
      false,
      undefined,
      "EPYC-Milan",
      1,
      "61ae2d43357a06728254c64d0a3b217428a213e01a7b4cb1e16dccb4860b4736dccc534baf40c4b796828791a9e7a364",
    ],
  ] as const)("is what another implementation computes (%#)", ([hashes, boot, cpu, processors, expected]) => {
    expect(measure(hashes, boot, cpu, processors)).toBe(expected);
  });

  it("is not given for a kernel that the firmware would not check", () => {
    expect(() => measure(false, BOOT, "EPYC-Milan", 1)).toThrow("expected one that checks digests of the kernel");
  });

  it("is not given for no processor, nor for half of one", () => {
    for (const processors of [0, 0.5, -1, NaN, 1e9]) {
      expect(() => measure(true, BOOT, "EPYC-Milan", processors)).toThrow("processors: expected 1 to 4096");
    }
  });
});

describe("the TDX measurement", () => {
  // The first by another implementation (td-report-web), for the order of Canonical's QEMU 8.2; the other is not in it.
  it.for([
    ["section", "e57f209843b46cb9cd0bcc4e726f5358053ac50d3b630fe63c09448a9218d377df26c08e0aba5e5f992a1ab66f8af391"],
    ["page", "63d4bac4601c963b255dc1153c6a3d66cbdd807e08f3430c1a6bd943e4e524890f9aee9b04a32463a49e983617a3e013"],
  ] as const)("of pages in the order by %s", ([order, expected]) => {
    expect(tdxMrtd(parseFirmware(firmware()), order).toString("hex")).toBe(expected);
  });

  it("is not given for a firmware that says nothing of TDX", () => {
    expect(() => tdxMrtd(parseFirmware(firmware({ tdx: false })), "page")).toThrow(
      "expected metadata for TDX, got none",
    );
  });
});

describe("a firmware's metadata", () => {
  it("writes GUIDs as they are read", () => {
    const guid = "96b582de-1fb2-45f7-baea-a366c55a082d";
    expect(guidBytes(guid).toString("hex")).toBe("de82b596b21ff745baeaa366c55a082d");
    expect(guidAt(guidBytes(guid), 0)).toBe(guid);
  });

  it("is refused where there is none", () => {
    expect(() => parseFirmware(Buffer.alloc(4096))).toThrow("expected edk2's GUIDed table at its end");
    expect(() => parseFirmware(Buffer.alloc(10))).toThrow("expected up to 64 MiB, got 10 bytes");
  });

  it("may be any bytes: what comes of it is a digest or an error", () => {
    const random = seeded(21);
    const whole = firmware();
    for (let i = 0; i < 300; i++) {
      const bytes = Buffer.from(whole);
      // Where the metadata and the table are.
      for (const [start, size] of [
        [0x1000, 100],
        [0x2000, 120],
        [bytes.length - 220, 200],
      ] as const) {
        if (random(2) === 0) bytes[start + random(size)] = random(256);
      }
      for (const compute of [
        (): Buffer => snpMeasurement({ firmware: parseFirmware(bytes), processors: 2, signature: 1, boot: BOOT }),
        (): Buffer => tdxMrtd(parseFirmware(bytes), "page"),
      ]) {
        try {
          expect(compute()).toHaveLength(48);
        } catch (error) {
          expect((error as Error).message).toMatch(/^(?:firmware|processors): /u);
        }
      }
    }
  });
});

const REGISTERS: readonly string[] = ["tpm", "snp", "tdx"].flatMap((platform) =>
  ["04", "09", "11", "12"].map((register) => `${platform}_pcr${register}`),
);

describe.for(FLAVOURS)("what describes the %s image", (flavour) => {
  const image = builtImage(flavour);
  const text = (name: string): string => readFileSync(join(image.folder, name), "utf8");
  const bytes = (name: string): Buffer => readFileSync(join(image.folder, name));
  const launch = launchValuesOf(image);

  it("is a unified kernel image whose sections objcopy reads", () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "uki-"));
    const uki = join(image.folder, image.unifiedKernelImage);
    const section = (name: string): Buffer => {
      const path = join(folder.path, name);
      execFileSync("/usr/bin/objcopy", ["--dump-section", `${name}=${path}`, uki, join(folder.path, "copy")], {
        stdio: "ignore",
      });
      return readFileSync(path);
    };
    expect(section(".linux").equals(bytes(image.kernel))).toBe(true);
    expect(section(".initrd").equals(bytes(image.initramfs))).toBe(true);
    expect(section(".cmdline").toString()).toBe(image.commandLine);
    expect(
      peSections(bytes(image.unifiedKernelImage))
        .slice(-4)
        .map(({ name }) => name),
    ).toEqual([".linux", ".osrel", ".cmdline", ".initrd"]);
  });

  it("says the digests of what is launched", () => {
    const digest = (content: Buffer): string => createHash("sha256").update(content).digest("hex");
    expect(launch.rootHash).toBe(image.rootHash);
    expect(launch.kernel.sha256).toBe(digest(bytes(image.kernel)));
    expect(launch.initramfs?.sha256).toBe(digest(bytes(image.initramfs)));
    expect(launch.commandLine.sha256).toBe(digest(Buffer.from(`${image.commandLine}\0`)));
    expect(launch.unifiedKernelImage.authenticode).toBe(
      authenticodeDigest(bytes(image.unifiedKernelImage)).toString("hex"),
    );
    const { disk, qemu } = launch.unifiedKernelImage.pcrs;
    for (const registers of [disk, qemu]) expect(Object.keys(registers)).toEqual(["4", "9", "11", "12"]);
    expect(qemu).toEqual({ ...disk, "4": qemu["4"] });
    // Nothing but the image's own command line.
    expect(disk["12"]).toBe("0".repeat(64));
  });

  it("has the reference values as a message for RVPS", () => {
    const message = JSON.parse(text("reference-values.json")) as RvpsMessage;
    expect([message.version, message.type]).toEqual(["0.1.0", "sample"]);
    const values = JSON.parse(Buffer.from(message.payload, "base64").toString()) as object;
    const { disk, qemu } = launch.unifiedKernelImage.pcrs;
    expect(Object.keys(values).toSorted()).toEqual(REGISTERS.toSorted());
    for (const platform of ["tpm", "snp", "tdx"]) {
      expect(values).toMatchObject({
        [`${platform}_pcr04`]: [disk["4"], qemu["4"]],
        [`${platform}_pcr09`]: [disk["9"]],
        [`${platform}_pcr11`]: [disk["11"]],
        [`${platform}_pcr12`]: [disk["12"]],
      });
    }
  });
});

function launchValuesOf({ folder }: { readonly folder: string }): LaunchValues {
  return JSON.parse(readFileSync(join(folder, "launch-values.json"), "utf8")) as LaunchValues;
}

describe("measure.ts", () => {
  const image = builtImage("kata");

  it("adds what follows from the firmware, and what the host appends", () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "measure-"));
    writeFileSync(join(folder.path, "OVMF.fd"), firmware());
    const args = [
      "--image",
      image.folder,
      "--firmware",
      join(folder.path, "OVMF.fd"),
      "--append",
      "agent.log=debug",
      "--processors",
      "2",
    ];
    const run = (...more: string[]): string =>
      execFileSync(process.execPath, [join(ROOT, "guest-rootfs/measure.ts"), ...args, ...more], { encoding: "utf8" });
    const found = JSON.parse(run()) as Record<string, string[]>;
    const boot = {
      kernel: readFileSync(join(image.folder, image.kernel)),
      initramfs: readFileSync(join(image.folder, image.initramfs)),
      commandLine: `${image.commandLine} agent.log=debug`,
    };
    const launch = {
      firmware: parseFirmware(firmware()),
      processors: 2,
      signature: CPU_SIGNATURES["EPYC-Milan"] ?? 0,
      boot,
    };
    expect(found["snp_launch_measurement"]).toEqual([snpMeasurement(launch).toString("hex")]);
    expect(found["mr_td"]).toHaveLength(2);
    const image9 = launchValuesOf(image).unifiedKernelImage.pcrs.qemu["9"];
    for (const platform of ["tpm", "snp", "tdx"]) {
      expect(found[`${platform}_pcr09`]).toEqual([kernelStubRegister(boot.commandLine, boot.initramfs)]);
      expect(found[`${platform}_pcr09`]).not.toEqual([image9]);
      expect(found[`${platform}_pcr12`]).toEqual([optionsRegister(boot.commandLine)]);
    }
    const { payload } = JSON.parse(run("--rvps")) as RvpsMessage;
    expect(JSON.parse(Buffer.from(payload, "base64").toString())).toEqual(found);
  });

  it("says what it does not compute, and why", () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), "measure-"));
    writeFileSync(join(folder.path, "OVMF.fd"), firmware({ kernelHashes: false, tdx: false }));
    const { stderr, stdout } = spawnSync(
      process.execPath,
      [join(ROOT, "guest-rootfs/measure.ts"), "--image", image.folder, "--firmware", join(folder.path, "OVMF.fd")],
      { encoding: "utf8" },
    );
    expect(stderr).toContain(
      "snp_launch_measurement: not computed: firmware: expected one that checks digests of the kernel",
    );
    expect(stderr).toContain("mr_td: not computed: firmware: expected metadata for TDX");
    expect(Object.keys(JSON.parse(stdout) as object).toSorted()).toEqual(REGISTERS.toSorted());
  });
});
