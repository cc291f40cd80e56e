import { createHash, type Hash } from "node:crypto";

import { type Firmware, type TdxSection, tdxSections } from "./ovmf.ts";

const PAGE = 4096;
/** TDH.MR.EXTEND takes so much at once. */
const CHUNK = 256;
const Attribute = { extend: 1, augment: 2 } as const;
/** A TD's first memory is a few MiB. */
const MAX_SECTION = 2 ** 28;

/**
 * In which order a hypervisor adds pages and has their content measured, which changes the result: `page` by page, as KVM
 * does since Linux 6.16, or all pages of a `section` first, as Intel's and Canonical's QEMU 8.2 did.
 */
export type PageOrder = "page" | "section";

/**
 * MRTD, what a TD's first memory is (Intel TDX module specification, TDH.MEM.PAGE.ADD and TDH.MR.EXTEND): SHA-384 over
 * each page that is added and, where the firmware asks for it, its content. Throws where the firmware has no metadata for
 * TDX.
 */
export function tdxMrtd(firmware: Firmware, order: PageOrder): Buffer {
  const hash = createHash("sha384");
  for (const section of tdxSections(firmware)) {
    // Added later and accepted by the guest: not part of the measurement.
    if ((section.attributes & Attribute.augment) !== 0) continue;
    const content = sectionContent(firmware, section);
    const extend = (section.attributes & Attribute.extend) !== 0;
    for (let at = 0; at < section.size; at += PAGE) {
      hash.update(operation("MEM.PAGE.ADD", section.address + at));
      if (extend && order === "page") extendPage(hash, section.address, at, content);
    }
    if (!extend || order === "page") continue;
    for (let at = 0; at < section.size; at += PAGE) extendPage(hash, section.address, at, content);
  }
  return hash.digest();
}

function extendPage(hash: Hash, address: number, at: number, content: Buffer): void {
  for (let chunk = at; chunk < at + PAGE; chunk += CHUNK) {
    hash.update(operation("MR.EXTEND", address + chunk)).update(content.subarray(chunk, chunk + CHUNK));
  }
}

function sectionContent({ bytes }: Firmware, { address, size, dataOffset, dataSize }: TdxSection): Buffer {
  if (size > MAX_SECTION || size % PAGE !== 0 || address % PAGE !== 0) {
    throw new Error(`firmware: expected a section of whole pages up to 256 MiB, got ${size} bytes at ${address}`);
  }
  if (dataSize > size || dataOffset + dataSize > bytes.length)
    throw new Error("firmware: expected a section's bytes within it");
  const content = Buffer.alloc(size);
  bytes.copy(content, 0, dataOffset, dataOffset + dataSize);
  return content;
}

/** 128 bytes: the operation's name, and at 16 the address. */
function operation(name: string, address: number): Buffer {
  const buffer = Buffer.alloc(128);
  buffer.write(name, 0, "latin1");
  buffer.writeBigUInt64LE(BigInt(address), 16);
  return buffer;
}
