import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { IMAGE_FILE, type ImageFile } from "./image/image-file.ts";
import type { LaunchValues } from "./measure/launch-values.ts";
import { imageReferenceValues, registerValues } from "./measure/launch-values.ts";
import { type Firmware, parseFirmware } from "./measure/ovmf.ts";
import { kernelStubRegister, optionsRegister } from "./measure/pcr.ts";
import { type ReferenceValues, rvpsMessage } from "./measure/reference-values.ts";
import { type DirectBoot, snpMeasurement } from "./measure/snp.ts";
import { tdxMrtd } from "./measure/tdx.ts";
import { CPU_SIGNATURES } from "./measure/vmsa.ts";
import { IMAGES } from "./paths.ts";

/** `node guest-rootfs/measure.ts`: what a verifier expects of an image under a firmware; options are in the README. */
const { values } = parseArgs({
  options: {
    image: { type: "string", default: join(IMAGES, "kata") },
    firmware: { type: "string" },
    append: { type: "string", default: "" },
    processors: { type: "string", default: "1" },
    cpu: { type: "string", default: "EPYC-Milan" },
    rvps: { type: "boolean", default: false },
  },
});

const at = (name: string): string => join(values.image, name);
const readJson = (name: string): unknown => JSON.parse(readFileSync(at(name), "utf8"));

function directBoot(image: ImageFile): DirectBoot {
  return {
    kernel: readFileSync(at(image.kernel)),
    initramfs: image.initramfs === undefined ? undefined : readFileSync(at(image.initramfs)),
    commandLine: [image.commandLine, values.append].filter(Boolean).join(" "),
  };
}

/** Of a boot by OVMF with a command line that QEMU gives. */
function ofCommandLine({ commandLine, initramfs }: DirectBoot): ReferenceValues {
  return registerValues({ "09": [kernelStubRegister(commandLine, initramfs)], "12": [optionsRegister(commandLine)] });
}

function ofFirmware(firmware: Firmware, image: ImageFile): ReferenceValues {
  const signature = CPU_SIGNATURES[values.cpu];
  if (signature === undefined) {
    throw new Error(`--cpu: expected ${Object.keys(CPU_SIGNATURES).join(", ")}, got ${values.cpu}`);
  }
  const processors = Number(values.processors);
  const attempts: Readonly<Record<string, () => readonly Buffer[]>> = {
    snp_launch_measurement: () => [snpMeasurement({ firmware, processors, signature, boot: directBoot(image) })],
    mr_td: () => [tdxMrtd(firmware, "page"), tdxMrtd(firmware, "section")],
  };
  const found = Object.entries(attempts).flatMap(([name, compute]) => {
    try {
      return [[name, compute().map((digest) => digest.toString("hex"))] as const];
    } catch (error) {
      process.stderr.write(`${name}: not computed: ${(error as Error).message}\n`);
      return [];
    }
  });
  return Object.fromEntries(found);
}

function main(): void {
  const image = readJson(IMAGE_FILE) as ImageFile;
  const firmware = values.firmware === undefined ? {} : ofFirmware(parseFirmware(readFileSync(values.firmware)), image);
  const all = {
    ...imageReferenceValues(readJson("launch-values.json") as LaunchValues),
    ...(values.append === "" ? {} : ofCommandLine(directBoot(image))),
    ...firmware,
  };
  process.stdout.write(`${JSON.stringify(values.rvps ? rvpsMessage(all) : all, undefined, 2)}\n`);
}

try {
  main();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
