/**
 * Frees the memory behind a part of a stream that has been used up, as soon as the part is the last one in it.
 *
 * zlib and sockets allocate buffer after buffer outside of the heap; the collector sees only the small objects in front
 * of them and would let some sixty megabytes a thread lie about. A part that ends before its memory does may be followed
 * by another one from the same read, so that memory is left alone, as is the pool that Node cuts small buffers from.
 */
export function releaseMemory(part: Uint8Array): void {
  const { buffer, byteOffset, byteLength } = part;
  if (buffer instanceof ArrayBuffer && byteLength >= Buffer.poolSize && byteOffset + byteLength === buffer.byteLength) {
    buffer.transfer(0);
  }
}
