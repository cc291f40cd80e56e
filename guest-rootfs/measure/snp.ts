import { createHash } from "node:crypto";

import { type Firmware, guidBytes, hashTableAddress, resetAddress, snpSections } from "./ovmf.ts";
import { vmsaPage } from "./vmsa.ts";

const PAGE = 4096;
const DIGEST = 48;
/** Types of a page at launch (SNP firmware ABI, SNP_LAUNCH_UPDATE). */
const PageType = { normal: 1, vmsa: 2, zero: 3, secrets: 5, cpuid: 6 } as const;
/** Types of sections in edk2's metadata. */
const SectionType = { memory: 1, secrets: 2, cpuid: 3, caa: 4, kernelHashes: 0x10 } as const;
/** Where the states of processors lie, for the measurement. */
const VMSA_ADDRESS = 0xffff_ffff_f000;
const RESET_VECTOR = 0xffff_fff0;

/** What QEMU boots directly, with its digests in the guest's memory (`kernel-hashes=on`). */
export interface DirectBoot {
  readonly kernel: Buffer;
  readonly initramfs?: Buffer | undefined;
  readonly commandLine: string;
}

export interface SnpLaunch {
  readonly firmware: Firmware;
  readonly processors: number;
  readonly signature: number;
  /** Default: SNP alone. */
  readonly features?: bigint;
  readonly boot?: DirectBoot | undefined;
}

/**
 * The launch measurement of an SNP guest under QEMU: the chain of SHA-384 over what each page is, where it lies and what
 * it holds (SNP firmware ABI, PAGE_INFO). Throws where the firmware does not tell its sections, or takes no digests of
 * the kernel that is given: then the measurement would say nothing about it.
 */
export function snpMeasurement({ firmware, processors, signature, features = 1n, boot }: SnpLaunch): Buffer {
  if (!Number.isInteger(processors) || processors < 1 || processors > 4096) {
    throw new Error(`processors: expected 1 to 4096, got ${processors}`);
  }
  const launch = new Launch();
  launch.pages(firmware.address, firmware.bytes, PageType.normal);
  const hashes = hashTableAddress(firmware);
  const sections = snpSections(firmware);
  if (boot !== undefined && (hashes === undefined || !sections.some(({ type }) => type === SectionType.kernelHashes))) {
    throw new Error("firmware: expected one that checks digests of the kernel (OvmfPkg/AmdSev), got one that does not");
  }
  for (const { address, size, type } of sections) {
    if (address % PAGE !== 0 || size % PAGE !== 0) throw new Error(`firmware: expected whole pages at ${address}`);
    if (type === SectionType.memory || type === SectionType.caa) launch.empty(address, size, PageType.zero);
    else if (type === SectionType.secrets) launch.empty(address, PAGE, PageType.secrets);
    else if (type === SectionType.cpuid) launch.empty(address, PAGE, PageType.cpuid);
    else if (type !== SectionType.kernelHashes) throw new Error(`firmware: expected a known section, got type ${type}`);
    else if (boot === undefined) launch.empty(address, size, PageType.zero);
    else launch.pages(address, hashPage(boot, (hashes ?? 0) % PAGE), PageType.normal);
  }
  for (let i = 0; i < processors; i++) {
    const entry = i === 0 ? RESET_VECTOR : resetAddress(firmware);
    launch.page(VMSA_ADDRESS, vmsaPage({ entry, signature, features }), PageType.vmsa);
  }
  return launch.digest;
}

class Launch {
  digest: Buffer = Buffer.alloc(DIGEST);

  pages(address: number, bytes: Buffer, type: number): void {
    for (let at = 0; at < bytes.length; at += PAGE) this.page(address + at, bytes.subarray(at, at + PAGE), type);
  }

  page(address: number, bytes: Buffer, type: number): void {
    this.#add(address, createHash("sha384").update(bytes).digest(), type);
  }

  /** Pages whose content is not measured. */
  empty(address: number, size: number, type: number): void {
    for (let at = 0; at < size; at += PAGE) this.#add(address + at, Buffer.alloc(DIGEST), type);
  }

  #add(address: number, contents: Buffer, type: number): void {
    // PAGE_INFO: digest so far, content, its own length, type, flags and permissions (none), address.
    const info = Buffer.alloc(0x70);
    this.digest.copy(info, 0);
    contents.copy(info, DIGEST);
    info.writeUInt16LE(info.length, 96);
    info.writeUInt8(type, 98);
    info.writeBigUInt64LE(BigInt(address), 104);
    this.digest = createHash("sha384").update(info).digest();
  }
}

/** QEMU's table of digests, in the page that the firmware looks into. */
function hashPage({ kernel, initramfs = Buffer.alloc(0), commandLine }: DirectBoot, offset: number): Buffer {
  const entry = (guid: string, content: Buffer): Buffer =>
    withHeader(guid, createHash("sha256").update(content).digest());
  const table = withHeader(
    "9438d606-4f22-4cc9-b479-a793d411fd21",
    Buffer.concat([
      entry("97d02dd8-bd20-4c94-aa78-e7714d36ab2a", Buffer.from(`${commandLine}\0`)),
      entry("44baf731-3a2f-4bd7-9af1-41e29169781d", initramfs),
      entry("4de79437-abd2-427f-b835-d5b172d2045b", kernel),
    ]),
  );
  const page = Buffer.alloc(PAGE);
  table.copy(page, offset);
  return page;
}

function withHeader(guid: string, content: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16LE(content.length + 18, 0);
  return Buffer.concat([guidBytes(guid), length, content]);
}
