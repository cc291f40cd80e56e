import { createHash } from "node:crypto";

const u16 = (n: number): Buffer => Buffer.from([n & 0xff, n >> 8]);
const u32 = (n: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(n >>> 0);
  return bytes;
};
const SHA384 = 0x0c;

/** The first event of a crypto-agile log, which names SHA-384 and SHA-256. */
export const HEADER: Buffer = (() => {
  const content = Buffer.concat([
    Buffer.from("Spec ID Event03\0"),
    Buffer.alloc(8),
    u32(2),
    u16(SHA384),
    u16(48),
    u16(0x0b),
    u16(32),
    Buffer.from([0]),
  ]);
  return Buffer.concat([u32(0), u32(3), Buffer.alloc(20), u32(content.length), content]);
})();
export const END: Buffer = Buffer.alloc(8, 0xff);

export function event(register: number, type: number, data: Buffer, algorithm = SHA384): Buffer {
  const digest = createHash("sha384").update(data).digest();
  return Buffer.concat([u32(register), u32(type), u32(1), u16(algorithm), digest, u32(data.length), data]);
}

/** What a guest measures at run time. */
export function aael(text: string, register = 4): Buffer {
  return event(register, 6, Buffer.concat([u32(0x4141454c), u32(Buffer.byteLength(text)), Buffer.from(text)]));
}
