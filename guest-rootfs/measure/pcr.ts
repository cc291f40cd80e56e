import { createHash } from "node:crypto";

import { authenticodeDigest } from "../image/pe.ts";
import { makeUki, type UkiParts, ukiSections } from "../image/uki.ts";

const sha256 = (...parts: readonly (Buffer | string)[]): Buffer => {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** A register that starts at zero and takes these digests one after another. */
export function extendAll(digests: readonly Buffer[]): Buffer {
  return digests.reduce((register, digest) => sha256(register, digest), Buffer.alloc(32));
}

/** What the firmware measures before it starts anything: an action's text, and four zero bytes that end its own part. */
const BOOT_OPTION = sha256("Calling EFI Application from Boot Option");
const SEPARATOR = sha256(Buffer.alloc(4));

/** Who hands the unified image to OVMF: a disk's boot folder, or QEMU (`-kernel`). */
export type UkiLoader = "disk" | "qemu";

export type UkiRegisters = Readonly<Record<"4" | "9" | "11" | "12", string>>;

/**
 * The registers of a TPM (SHA-256) that tell a unified kernel image apart, after a boot by OVMF and systemd's stub, until
 * something in the guest extends them; in hex:
 *
 * - 4: the programs that firmware loads, which are the unified image and the kernel in it. QEMU's is loaded before the
 *   firmware says that it boots, a disk's afterwards;
 * - 9: what the kernel's own stub measures, see {@link kernelStubRegister};
 * - 11: what systemd's stub measures, each section's name and content, also of a command line that is not used;
 * - 12: see {@link optionsRegister}.
 *
 * `given` is the command line that the loader gives, if it does.
 */
export function ukiRegisters(parts: UkiParts, loader: UkiLoader, given?: string): UkiRegisters {
  const image = authenticodeDigest(makeUki(parts));
  const first = { disk: [BOOT_OPTION, SEPARATOR, image], qemu: [image, BOOT_OPTION, SEPARATOR] }[loader];
  const sections = ukiSections(parts).flatMap(([name, content]) => [sha256(`${name}\0`), sha256(content)]);
  return {
    "4": hex([...first, authenticodeDigest(parts.kernel)]),
    "9": kernelStubRegister(given ?? parts.commandLine, parts.initramfs),
    "11": hex(sections),
    "12": optionsRegister(given),
  };
}

/** Register 9: the command line that the kernel gets, and its initramfs. */
export function kernelStubRegister(commandLine: string, initramfs?: Buffer): string {
  return hex([options(commandLine), ...(initramfs === undefined ? [] : [sha256(initramfs)])]);
}

/** Register 12: the command line that systemd's stub takes instead of the image's own, which it does without secure boot. */
export function optionsRegister(given?: string): string {
  return hex(given === undefined ? [] : [options(given)]);
}

const hex = (digests: readonly Buffer[]): string => extendAll(digests).toString("hex");

/** As firmware passes them, in UTF-16, and as both stubs measure them. */
const options = (commandLine: string): Buffer => sha256(Buffer.from(`${commandLine}\0`, "utf16le"));
