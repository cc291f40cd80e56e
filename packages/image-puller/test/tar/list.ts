import { TarParser } from "../../src/tar/parser.ts";
import type { TarHeader } from "../../src/tar/header.ts";

export interface Listed extends TarHeader {
  readonly data: string;
}

/** The members of an archive given in pieces of a size, their data as byte strings. */
export function list(archive: Buffer, pieces = archive.length): Listed[] {
  const members: Listed[] = [];
  let header: TarHeader | undefined;
  let data: Buffer[] = [];
  const parser = new TarParser({
    entry: (next) => {
      if (header !== undefined) throw new Error("a member begins inside another");
      header = next;
      data = [];
    },
    data: (chunk) => {
      if (chunk.length === 0) throw new Error("empty data");
      data.push(Buffer.from(chunk));
    },
    end: () => {
      if (header === undefined) throw new Error("a member ends without beginning");
      members.push({ ...header, data: Buffer.concat(data).toString("latin1") });
      header = undefined;
    },
  });
  for (let at = 0; at < archive.length; at += Math.max(pieces, 1)) parser.push(archive.subarray(at, at + pieces));
  parser.finish();
  return members;
}
