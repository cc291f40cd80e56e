/** What a part of the guest's memory is for at launch. */
export interface FirmwareSection {
  readonly address: number;
  readonly size: number;
  readonly type: number;
}

/** A firmware volume for a virtual machine, with what edk2 says in it about launching under SEV-SNP and TDX. */
export interface Firmware {
  readonly bytes: Buffer;
  /** Where it lies in the guest's memory: its end is the end of the first 4 GiB. */
  readonly address: number;
  /** Entries of the table at its end, by GUID. */
  readonly table: ReadonlyMap<string, Buffer>;
}

const FOUR_GIB = 2 ** 32;
/** The table ends this far before the firmware's end, with its own GUID and length; it is read backwards. */
const TABLE_END = 0x20;
const TABLE_FOOTER = "96b582de-1fb2-45f7-baea-a366c55a082d";
const GUID_SIZE = 16;
const MAX_ENTRIES = 64;
/** No section list of edk2 is near this. */
const MAX_SECTIONS = 256;

const SEV_METADATA = "dc886566-984a-4798-a75e-5585a7bf67cc";
const SEV_ES_RESET_BLOCK = "00f771de-1a7e-4fcb-890e-68c77e2fb44e";
const SEV_HASH_TABLE = "7255371f-3a3b-4b04-927b-1da6efa8d454";
const TDX_METADATA = "e47a6535-984a-4798-865e-4685a7bf8ec2";

/** Reads the table. Throws where there is none, or where it is not whole. */
export function parseFirmware(bytes: Buffer): Firmware {
  const end = bytes.length - TABLE_END;
  if (bytes.length > 2 ** 26 || end < GUID_SIZE + 2)
    throw new Error(`firmware: expected up to 64 MiB, got ${bytes.length} bytes`);
  if (guidAt(bytes, end - GUID_SIZE) !== TABLE_FOOTER)
    throw new Error("firmware: expected edk2's GUIDed table at its end");
  const size = bytes.readUInt16LE(end - GUID_SIZE - 2);
  const start = end - size;
  if (start < 0) throw new Error(`firmware: expected a table within it, got ${size} bytes`);
  const table = new Map<string, Buffer>();
  for (let at = end - GUID_SIZE - 2; at > start;) {
    const length = at - 18 < start ? 0 : bytes.readUInt16LE(at - 18);
    if (length < 18 || at - length < start || table.size >= MAX_ENTRIES)
      throw new Error("firmware: expected whole entries in its table");
    table.set(guidAt(bytes, at - GUID_SIZE), bytes.subarray(at - length, at - 18));
    at -= length;
  }
  return { bytes, address: FOUR_GIB - bytes.length, table };
}

/** The sections that are measured at an SNP launch, in their order. Throws where the firmware does not tell. */
export function snpSections(firmware: Firmware): readonly FirmwareSection[] {
  const at = metadataAt(firmware, SEV_METADATA, "SEV");
  return sectionsAt(firmware, at, { signature: "ASEV", size: 12, read: readSnp });
}

function readSnp(bytes: Buffer, at: number): FirmwareSection {
  return { address: bytes.readUInt32LE(at), size: bytes.readUInt32LE(at + 4), type: bytes.readUInt32LE(at + 8) };
}

/** A section of a TD's first memory. */
export interface TdxSection extends FirmwareSection {
  /** Where its bytes lie in the firmware; none where `dataSize` is 0. */
  readonly dataOffset: number;
  readonly dataSize: number;
  readonly attributes: number;
}

export function tdxSections(firmware: Firmware): readonly TdxSection[] {
  const at = metadataAt(firmware, TDX_METADATA, "TDX");
  return sectionsAt(firmware, at, { signature: "TDVF", size: 32, read: readTdx });
}

function readTdx(bytes: Buffer, at: number): TdxSection {
  return {
    dataOffset: bytes.readUInt32LE(at),
    dataSize: bytes.readUInt32LE(at + 4),
    address: Number(bytes.readBigUInt64LE(at + 8)),
    size: Number(bytes.readBigUInt64LE(at + 16)),
    type: bytes.readUInt32LE(at + 24),
    attributes: bytes.readUInt32LE(at + 28),
  };
}

/** Where other processors than the first begin. */
export function resetAddress({ table }: Firmware): number {
  const entry = table.get(SEV_ES_RESET_BLOCK);
  if (entry === undefined || entry.length < 4) throw new Error("firmware: expected a reset block for SEV-ES, got none");
  return entry.readUInt32LE(0);
}

/** Where the firmware wants digests of kernel, initramfs and command line; undefined if it does not check any. */
export function hashTableAddress({ table }: Firmware): number | undefined {
  const entry = table.get(SEV_HASH_TABLE);
  const address = entry === undefined || entry.length < 8 ? 0 : entry.readUInt32LE(0);
  return address === 0 ? undefined : address;
}

/** The entry holds how far before the firmware's end the metadata begin. */
function metadataAt({ bytes, table }: Firmware, guid: string, what: string): number {
  const entry = table.get(guid);
  if (entry === undefined || entry.length < 4) throw new Error(`firmware: expected metadata for ${what}, got none`);
  const at = bytes.length - entry.readUInt32LE(0);
  if (at < 0 || at + 16 > bytes.length) throw new Error(`firmware: expected metadata for ${what} within it`);
  return at;
}

interface SectionKind<T> {
  readonly signature: string;
  readonly size: number;
  readonly read: (bytes: Buffer, at: number) => T;
}

function sectionsAt<T>({ bytes }: Firmware, at: number, { signature, size, read }: SectionKind<T>): readonly T[] {
  if (bytes.toString("latin1", at, at + 4) !== signature) throw new Error(`firmware: expected the mark ${signature}`);
  const count = bytes.readUInt32LE(at + 12);
  if (count > MAX_SECTIONS || at + 16 + count * size > bytes.length) {
    throw new Error(`firmware: expected at most ${MAX_SECTIONS} sections within it, got ${count}`);
  }
  return Array.from({ length: count }, (_, i) => read(bytes, at + 16 + i * size));
}

/** A GUID as text: its first three parts are little-endian. */
export function guidAt(bytes: Buffer, at: number): string {
  const part = (...order: number[]): string =>
    order.map((i) => (bytes[at + i] ?? 0).toString(16).padStart(2, "0")).join("");
  return [part(3, 2, 1, 0), part(5, 4), part(7, 6), part(8, 9), part(10, 11, 12, 13, 14, 15)].join("-");
}

/** The reverse of {@link guidAt}. */
export function guidBytes(guid: string): Buffer {
  const hex = Buffer.from(guid.replaceAll("-", ""), "hex");
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return Buffer.from(order.map((i) => hex[i] ?? 0));
}
