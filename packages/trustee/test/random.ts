/** The bytes with one bit of one of them turned over. */
export function flipped(bytes: Buffer, at: number, bit = 0): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ (1 << bit);
  return copy;
}

/** Bytes changed at random: bits, cuts, insertions, repetitions. */
export function mutated(bytes: Buffer, random: (n: number) => number): Buffer {
  let result: Buffer = Buffer.from(bytes);
  for (let i = 0; i <= random(4); i++) {
    const at = random(result.length + 1);
    switch (random(4)) {
      case 0:
        if (at < result.length) result = flipped(result, at, random(8));
        break;
      case 1:
        result = result.subarray(0, at);
        break;
      case 2:
        result = Buffer.concat([
          result.subarray(0, at),
          Buffer.from([random(256), 0xff, random(256)]),
          result.subarray(at),
        ]);
        break;
      default:
        if (at + 4 <= result.length) result.writeUInt32LE([0, 0xffffffff, 0x7fffffff, 0x80000000][random(4)] ?? 0, at);
    }
  }
  return result;
}
