import { createHash } from "node:crypto";

import { authenticodeDigest } from "../image/pe.ts";
import { makeUki, type UkiParts } from "../image/uki.ts";
import { type UkiLoader, type UkiRegisters, ukiRegisters } from "./pcr.ts";
import type { ReferenceValues } from "./reference-values.ts";

/** What a verifier expects of a boot of an image; digests in hex. */
export interface LaunchValues {
  readonly rootHash?: string;
  readonly kernel: { readonly sha256: string; readonly authenticode: string };
  readonly initramfs?: { readonly sha256: string };
  /** As the image has it; what a host appends for the agent changes the digest. */
  readonly commandLine: { readonly text: string; readonly sha256: string };
  /** Kernel, initramfs and command line as one EFI program, and what a TPM shows after a boot of it, by its loader. */
  readonly unifiedKernelImage: {
    readonly sha256: string;
    readonly authenticode: string;
    readonly pcrs: Readonly<Record<UkiLoader, UkiRegisters>>;
  };
  /** What follows from more than the image, and from what. */
  readonly notComputed: Readonly<Record<string, string>>;
}

const NOT_COMPUTED: LaunchValues["notComputed"] = {
  "pcr 0-3, 5-7": "firmware, its settings and the disk's partition table",
  "pcr 8": "initdata: SHA-256 of 32 zero bytes and its digest",
  "pcr 10": "IMA of the guest's kernel, which follows from the others",
  "snp measurement, mr_td": "firmware; run `node guest-rootfs/measure.ts` with it",
  rtmr_0: "the host's ACPI tables and memory, in firmware that measures them",
  "rtmr_1, rtmr_2, tdvfkernel, tdvfkernelparams": "what QEMU writes into the kernel's header at a direct boot",
};

export function launchValues(parts: UkiParts, rootHash?: string): LaunchValues {
  const { kernel, initramfs, commandLine } = parts;
  const uki = makeUki(parts);
  return {
    ...(rootHash === undefined ? {} : { rootHash }),
    kernel: { sha256: sha256(kernel), authenticode: authenticodeDigest(kernel).toString("hex") },
    ...(initramfs === undefined ? {} : { initramfs: { sha256: sha256(initramfs) } }),
    // With its closing zero, as QEMU hashes it for the firmware.
    commandLine: { text: commandLine, sha256: sha256(Buffer.from(`${commandLine}\0`)) },
    unifiedKernelImage: {
      sha256: sha256(uki),
      authenticode: authenticodeDigest(uki).toString("hex"),
      pcrs: { disk: ukiRegisters(parts, "disk"), qemu: ukiRegisters(parts, "qemu") },
    },
    notComputed: NOT_COMPUTED,
  };
}

/** What follows from the image alone, under each verifier's name for it. Trustee's own policies ask for register 11. */
export function imageReferenceValues({ unifiedKernelImage }: LaunchValues): ReferenceValues {
  const { disk, qemu } = unifiedKernelImage.pcrs;
  return registerValues({ "04": [disk["4"], qemu["4"]], "09": [disk["9"]], "11": [disk["11"]], "12": [disk["12"]] });
}

/** Values of registers by the names that policies for software, SEV-SNP's and TDX's TPMs ask for. */
export function registerValues(registers: ReferenceValues): ReferenceValues {
  const named = ["tpm", "snp", "tdx"].flatMap((platform) =>
    Object.entries(registers).map(([register, values]) => [`${platform}_pcr${register}`, values] as const),
  );
  return Object.fromEntries(named);
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
