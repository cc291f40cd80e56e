/** A small generator with a seed, so that a failure can be had again. */
export function generator(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 0x1_0000_0000) * below);
  };
}

/** `bytes` with up to four of them changed, or cut, or with a length field set to something senseless. */
export function damaged(bytes: Buffer, next: (below: number) => number): Buffer {
  const copy = Buffer.from(bytes);
  for (let change = next(5); change > 0; change -= 1) copy[next(copy.length)] = next(256);
  if (next(4) === 0) copy.writeUInt16LE([0, 1, 3, 4, 0xffff, copy.length + 1][next(6)] ?? 0, next(copy.length - 1));
  return next(4) === 0 ? copy.subarray(0, next(copy.length + 1)) : copy;
}
