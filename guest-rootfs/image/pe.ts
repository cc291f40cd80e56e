import { createHash } from "node:crypto";

/** A section of a PE image. */
export interface PeSection {
  readonly name: string;
  readonly virtualAddress: number;
  readonly virtualSize: number;
  readonly rawOffset: number;
  readonly rawSize: number;
}

const SECTION_HEADER = 40;
/** IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ */
const READ_ONLY_DATA = 0x4000_0040;
const PE32_PLUS = 0x20b;
/** Of the optional header: entry 4 of the data directories names the certificate table. */
const CERTIFICATE_DIRECTORY = 112 + 4 * 8;

interface Headers {
  readonly optional: number;
  readonly sectionTable: number;
  readonly sizeOfHeaders: number;
  readonly sections: readonly PeSection[];
}

/** Where the parts of a 64-bit PE image are. Throws for anything else, and for one that is cut off. */
function readHeaders(bytes: Buffer): Headers {
  try {
    const pe = bytes.readUInt32LE(0x3c);
    if (bytes.toString("latin1", 0, 2) !== "MZ" || bytes.toString("latin1", pe, pe + 4) !== "PE\0\0") {
      throw new Error("expected the marks MZ and PE");
    }
    const optional = pe + 24;
    if (bytes.readUInt16LE(optional) !== PE32_PLUS) throw new Error("expected the format PE32+");
    const sectionTable = optional + bytes.readUInt16LE(pe + 20);
    const sections = Array.from({ length: bytes.readUInt16LE(pe + 6) }, (_, i) =>
      readSection(bytes, sectionTable + i * SECTION_HEADER),
    );
    const cut = sections.find(({ rawOffset, rawSize }) => rawOffset + rawSize > bytes.length);
    if (cut !== undefined) throw new RangeError(`expected the section ${cut.name} within the file`);
    return { optional, sectionTable, sizeOfHeaders: bytes.readUInt32LE(optional + 60), sections };
  } catch (cause) {
    throw new Error("PE image: expected a whole 64-bit one", { cause });
  }
}

function readSection(bytes: Buffer, at: number): PeSection {
  return {
    name: bytes.toString("latin1", at, at + 8).replace(/\0.*$/su, ""),
    virtualSize: bytes.readUInt32LE(at + 8),
    virtualAddress: bytes.readUInt32LE(at + 12),
    rawSize: bytes.readUInt32LE(at + 16),
    rawOffset: bytes.readUInt32LE(at + 20),
  };
}

export function peSections(bytes: Buffer): readonly PeSection[] {
  return readHeaders(bytes).sections;
}

/**
 * The image with more sections of read-only data behind its own. Throws where the header has no room for them. Symbols
 * go: firmware measures sections as if nothing lay between them.
 */
export function addSections(bytes: Buffer, added: readonly (readonly [name: string, content: Buffer])[]): Buffer {
  const { optional, sectionTable, sizeOfHeaders, sections } = readHeaders(bytes);
  const pe = bytes.readUInt32LE(0x3c);
  const [sectionAlignment, fileAlignment] = [bytes.readUInt32LE(optional + 32), bytes.readUInt32LE(optional + 36)];
  const head = Buffer.from(
    bytes.subarray(0, Math.max(...sections.map(({ rawOffset, rawSize }) => rawOffset + rawSize))),
  );
  let at = sectionTable + sections.length * SECTION_HEADER;
  if (at + added.length * SECTION_HEADER > Math.min(sizeOfHeaders, ...sections.map(({ rawOffset }) => rawOffset))) {
    throw new Error(`PE image: expected room for ${added.length} more section headers`);
  }
  const parts: Buffer[] = [padded(head, fileAlignment)];
  let raw = parts[0]?.length ?? 0;
  let virtual = Math.max(...sections.map(({ virtualAddress, virtualSize }) => virtualAddress + virtualSize));
  const out = parts[0] ?? head;
  for (const [name, content] of added) {
    const data = padded(content, fileAlignment);
    virtual = roundUp(virtual, sectionAlignment);
    out.fill(0, at, at + SECTION_HEADER);
    out.write(name.padEnd(8, "\0").slice(0, 8), at, "latin1");
    for (const [i, value] of [content.length, virtual, data.length, raw].entries())
      out.writeUInt32LE(value, at + 8 + i * 4);
    out.writeUInt32LE(READ_ONLY_DATA, at + 36);
    parts.push(data);
    raw += data.length;
    virtual += content.length;
    at += SECTION_HEADER;
  }
  out.writeUInt16LE(sections.length + added.length, pe + 6);
  // Of the symbols, place and number.
  out.fill(0, pe + 12, pe + 20);
  out.writeUInt32LE(roundUp(virtual, sectionAlignment), optional + 56);
  // The checksum: firmware does not look at it, and objcopy's result has none either.
  out.writeUInt32LE(0, optional + 64);
  return Buffer.concat(parts);
}

/**
 * The digest that firmware measures and signatures are over (Authenticode): the image without its checksum, the entry of
 * its certificate table and the table itself.
 */
export function authenticodeDigest(bytes: Buffer, algorithm = "sha256"): Buffer {
  const { optional } = readHeaders(bytes);
  const [checksum, certificates] = [optional + 64, optional + CERTIFICATE_DIRECTORY];
  const tableSize = bytes.readUInt32LE(certificates + 4);
  const end = tableSize === 0 ? bytes.length : bytes.readUInt32LE(certificates);
  const hash = createHash(algorithm)
    .update(bytes.subarray(0, checksum))
    .update(bytes.subarray(checksum + 4, certificates))
    .update(bytes.subarray(certificates + 8, end));
  // Firmware pads what is hashed to whole 8 bytes.
  return hash.update(Buffer.alloc((8 - (end % 8)) % 8)).digest();
}

function padded(bytes: Buffer, to: number): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(roundUp(bytes.length, to) - bytes.length)]);
}

function roundUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
