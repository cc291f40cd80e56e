/** The first state of a virtual processor under SEV-SNP, as QEMU and KVM set it (AMD APM volume 2, appendix B). */
export interface ProcessorState {
  /** Where it begins: the reset vector, or for other processors the firmware's reset block. */
  readonly entry: number;
  /** CPUID Fn0000_0001_EAX of the CPU model. */
  readonly signature: number;
  /** Bits of SEV_FEATURES; 1 is SNP itself. */
  readonly features: bigint;
}

/** Offset of a segment, its selector, attributes, limit and base. */
type Segment = readonly [offset: number, selector: number, attributes: number, limit: number, base: number];

const segments = (entry: number): readonly Segment[] => [
  [0x00, 0, 0x93, 0xffff, 0], // es
  [0x10, 0xf000, 0x9b, 0xffff, entry & 0xffff_0000], // cs
  [0x20, 0, 0x93, 0xffff, 0], // ss
  [0x30, 0, 0x93, 0xffff, 0], // ds
  [0x40, 0, 0x93, 0xffff, 0], // fs
  [0x50, 0, 0x93, 0xffff, 0], // gs
  [0x60, 0, 0, 0xffff, 0], // gdtr
  [0x70, 0, 0x82, 0xffff, 0], // ldtr
  [0x80, 0, 0, 0xffff, 0], // idtr
  [0x90, 0, 0x8b, 0xffff, 0], // tr
];

/** The page that is measured for a processor. */
export function vmsaPage({ entry, signature, features }: ProcessorState): Buffer {
  const page = Buffer.alloc(4096);
  for (const [at, selector, attributes, limit, base] of segments(entry)) {
    page.writeUInt16LE(selector, at);
    page.writeUInt16LE(attributes, at + 2);
    page.writeUInt32LE(limit, at + 4);
    page.writeBigUInt64LE(BigInt(base >>> 0), at + 8);
  }
  const registers: readonly (readonly [offset: number, value: bigint])[] = [
    [0xd0, 0x1000n], // efer: SVME
    [0x148, 0x40n], // cr4: machine checks
    [0x158, 0x10n], // cr0: extension type
    [0x160, 0x400n], // dr7
    [0x168, 0xffff_0ff0n], // dr6
    [0x170, 0x2n], // rflags
    [0x178, BigInt(entry & 0xffff)], // rip
    [0x268, 0x0007_0406_0007_0406n], // g_pat
    [0x310, BigInt(signature)], // rdx
    [0x3b0, features], // sev_features
    [0x3e8, 0x1n], // xcr0
  ];
  for (const [at, value] of registers) page.writeBigUInt64LE(value, at);
  page.writeUInt32LE(0x1f80, 0x408); // mxcsr
  page.writeUInt16LE(0x037f, 0x410); // x87 control word
  return page;
}

/** CPUID Fn0000_0001_EAX (AMD CPUID specification). */
export function cpuSignature(family: number, model: number, stepping: number): number {
  const [low, high] = family > 0xf ? [0xf, family - 0xf] : [family, 0];
  return (high << 20) | ((model >> 4) << 16) | (low << 8) | ((model & 0xf) << 4) | stepping;
}

/** CPU models of QEMU that SNP guests are given. */
export const CPU_SIGNATURES: Readonly<Record<string, number>> = {
  EPYC: cpuSignature(23, 1, 2),
  "EPYC-Rome": cpuSignature(23, 49, 0),
  "EPYC-Milan": cpuSignature(25, 1, 1),
  "EPYC-Genoa": cpuSignature(25, 17, 0),
  "EPYC-Turin": cpuSignature(26, 0, 0),
};
