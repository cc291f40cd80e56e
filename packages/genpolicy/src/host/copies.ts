import type { grpc, Init } from "@nacre/protocols";

import { type Contents, mountSource, type VolumeMount } from "../volumes.ts";
import type { PodHost } from "./pod-host.ts";

type Copy = Init<grpc.CopyFileRequest>;

/** Go's bit for a folder and 0750: what the runtime sends. */
const DIR_MODE = 0x8000_01e8;
const FOLDER = 0o040755;
const FILE = 0o100644;
const LINK = 0o120777;
/** The folder that the kubelet wrote a volume's files into. */
const WRITTEN = "..2026_01_01_00_00_00.123456789";
/** The runtime cuts files into parts of this size. */
const PART: number = 1024 * 1024;

/** A mount that files were copied for. */
export interface CopiedMount {
  readonly source: string;
  readonly requests: readonly Copy[];
}

/** Copies in what a container has at a mount. */
export function copyMount(mount: VolumeMount, container: string, host: PodHost): CopiedMount {
  const source = mountSource(mount, { container, sandbox: host.sandboxId, random: host.random(16) });
  if (mount.kind !== "copied") return { source, requests: [] };
  return { source, requests: copyContents(source, contentsOf(mount, host)) };
}

function copyContents(path: string, contents: Contents): readonly Copy[] {
  if (Buffer.isBuffer(contents)) return copyFile(path, contents);
  const folder = copy(path, FOLDER);
  if (contents.size === 0) return [folder];
  // Folders of folders are made on the way, and the links lead to the first part of each path.
  const tops = new Set([...contents.keys()].map((key) => key.split("/")[0] ?? ""));
  return [
    folder,
    copy(`${path}/${WRITTEN}`, FOLDER),
    ...[...contents].flatMap(([key, data]) => copyFile(`${path}/${WRITTEN}/${key}`, data)),
    copy(`${path}/..data`, LINK, Buffer.from(WRITTEN)),
    ...[...tops].map((top) => copy(`${path}/${top}`, LINK, Buffer.from(`..data/${top}`))),
  ];
}

function copyFile(path: string, data: Buffer): readonly Copy[] {
  const file_size = BigInt(data.length);
  const parts = Math.max(1, Math.ceil(data.length / PART));
  return Array.from({ length: parts }, (_, i) => ({
    ...copy(path, FILE, data.subarray(i * PART, (i + 1) * PART)),
    file_size,
    offset: BigInt(i * PART),
  }));
}

function copy(path: string, file_mode: number, data: Uint8Array = new Uint8Array()): Copy {
  return { path, file_mode, dir_mode: DIR_MODE, data };
}

/** What kubelet and containerd write where the manifest names nothing. */
function contentsOf({ destination, contents }: VolumeMount, { facts }: PodHost): Contents {
  if (contents !== undefined) return contents;
  switch (destination) {
    case "/etc/hosts":
      return Buffer.from(`127.0.0.1\tlocalhost\n::1\tlocalhost\n${facts.podAddress}\t${facts.hostname}\n`);
    case "/etc/hostname":
      return Buffer.from(`${facts.hostname}\n`);
    case "/etc/resolv.conf":
      return Buffer.from("nameserver 127.0.0.1\n");
    default:
      return /log$/u.test(destination) ? Buffer.alloc(0) : new Map();
  }
}
