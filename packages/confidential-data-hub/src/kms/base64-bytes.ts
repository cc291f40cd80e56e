import { HubError } from "../error.ts";

const VALUES: Int8Array = new Int8Array(128).fill(-1);
const ALPHABET: Buffer = Buffer.from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
for (const [value, letter] of ALPHABET.entries()) VALUES[letter] = value;
const PAD = 0x3d;

/** Standard base64 whose text is bytes, too: what it holds is secret. The caller zeroes it. Throws HubError `malformed`. */
export function base64Bytes(text: Uint8Array, what: string): Buffer {
  const bad = (): HubError => new HubError("malformed", `${what}: expected base64`);
  if (text.length % 4 !== 0) throw bad();
  const padding = text.at(-1) !== PAD ? 0 : text.at(-2) === PAD ? 2 : 1;
  const out = Buffer.alloc((text.length / 4) * 3);
  for (let at = 0; at < text.length; at += 4) {
    let group = 0;
    for (let i = 0; i < 4; i++) {
      const byte = text[at + i] ?? 0;
      const pad = at + i >= text.length - padding;
      const value = pad ? 0 : (VALUES[byte] ?? -1);
      if (value < 0) {
        out.fill(0);
        throw bad();
      }
      group = (group << 6) | value;
    }
    out.writeUIntBE(group, (at / 4) * 3, 3);
  }
  return out.subarray(0, out.length - padding);
}
