import { LittleEndianReader } from "./reader.ts";

/** Nodes of one path; real ones have fewer than ten. */
const MAX_NODES = 64;
const END = 0x7f;

/** Texts of the nodes of an EFI device path (UEFI 10.3 and 10.6), by type and subtype; undefined: not of that form. */
const NODES: Readonly<Record<string, (data: Buffer) => string | undefined>> = {
  "1.1": (data) => (data.length < 2 ? undefined : `Pci(${data[0]},${data[1]})`),
  "2.1": acpi,
  "3.5": (data) => (data.length < 2 ? undefined : `USB(${data[0]},${data[1]})`),
  "3.11": mac,
  "3.21": (data) =>
    data.length < 16 ? undefined : `FibreEx(0x${data.toString("hex", 0, 8)},0x${data.toString("hex", 8, 16)})`,
  "4.1": hardDrive,
  "4.3": (data) => (data.length < 16 ? undefined : `VenMedia(${guid(data)},${data.toString("hex", 16)})`),
  "4.4": (data) =>
    data.length < 2 || data.length % 2 !== 0 ? undefined : `File(${data.toString("utf16le", 0, data.length - 2)})`,
};

/** The nodes of a path up to its end node; what has no text of its own is shown by its numbers. Throws `evidence`. */
export function devicePaths(bytes: Buffer): readonly string[] {
  const reader = new LittleEndianReader(bytes, "EFI device path");
  const texts: string[] = [];
  while (reader.left > 0 && texts.length < MAX_NODES) {
    const [type, subtype] = [reader.u8(), reader.u8()];
    const data = reader.take(Math.max(0, reader.u16() - 4));
    if (type === END) break;
    texts.push(NODES[`${type}.${subtype}`]?.(data) ?? `Path(${type},${subtype},${data.toString("hex")})`);
  }
  return texts;
}

/** A compressed EISA identifier and a number. */
function acpi(data: Buffer): string | undefined {
  if (data.length < 8) return undefined;
  const id = data.readUInt32LE(0);
  const letters = [10, 5, 0].map((shift) => String.fromCharCode(0x40 + ((id >> shift) & 0x1f))).join("");
  return `ACPI(${letters}${hex(id >>> 16, 4)},${data.readUInt32LE(4)})`;
}

function mac(data: Buffer): string | undefined {
  if (data.length !== 33) return undefined;
  const address = data.toString("hex", 0, 31).replace(/0+$/u, "").toUpperCase();
  return `Mac(${address},0x${data.toString("hex", 32)})`;
}

function hardDrive(data: Buffer): string | undefined {
  if (data.length < 38) return undefined;
  const partition = data.readUInt32LE(0);
  const place = `,0x${data.readBigUInt64LE(4).toString(16)},0x${data.readBigUInt64LE(12).toString(16)}`;
  const end = partition === 0 ? "" : place;
  switch (data[36]) {
    case 1:
      return `HD(${partition},MBR,0x${data.readUInt32LE(20).toString(16).padStart(8, "0")}${end})`;
    case 2:
      return `HD(${partition},GPT,${guid(data.subarray(20))}${end})`;
    default:
      return undefined;
  }
}

/** A GUID as UEFI writes it: its first three parts are little-endian numbers. */
function guid(bytes: Buffer): string {
  const tail = bytes.toString("hex", 8, 16).toUpperCase();
  const head = [hex(bytes.readUInt32LE(0), 8), hex(bytes.readUInt16LE(4), 4), hex(bytes.readUInt16LE(6), 4)];
  return [...head, tail.slice(0, 4), tail.slice(4)].join("-");
}

function hex(number: number, digits: number): string {
  return number.toString(16).toUpperCase().padStart(digits, "0");
}
