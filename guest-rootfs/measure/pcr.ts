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

/**
 * The registers of a TPM (SHA-256) that tell a unified kernel image apart, after a boot from a disk by OVMF and systemd's
 * stub, until something in the guest extends them:
 *
 * - 4: the programs that firmware loads, which are the unified image and the kernel in it;
 * - 9: what the kernel's own stub measures, its command line as UTF-16 and the initramfs;
 * - 11: what systemd's stub measures, each section's name and content.
 */
export function ukiRegisters(parts: UkiParts): Readonly<Record<"4" | "9" | "11", string>> {
  const loaded = [BOOT_OPTION, SEPARATOR, authenticodeDigest(makeUki(parts)), authenticodeDigest(parts.kernel)];
  const kernelStub = [
    sha256(Buffer.from(`${parts.commandLine}\0`, "utf16le")),
    ...(parts.initramfs === undefined ? [] : [sha256(parts.initramfs)]),
  ];
  const sections = ukiSections(parts).flatMap(([name, content]) => [sha256(`${name}\0`), sha256(content)]);
  const [pcr4, pcr9, pcr11] = [loaded, kernelStub, sections].map((digests) => extendAll(digests).toString("hex"));
  return { "4": pcr4 ?? "", "9": pcr9 ?? "", "11": pcr11 ?? "" };
}
