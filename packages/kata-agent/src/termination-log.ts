import { closeSync, fstatSync, readSync } from "node:fs";

import { OpenFlag, type Syscalls } from "@nacre/kata-sys-util";
import type { grpc } from "@nacre/protocols";

import { isBind, openWithoutLinks } from "./bind-sources.ts";
import { internalError } from "./error.ts";

/** The annotation with the path inside the container. */
const ANNOTATION = "io.kubernetes.container.terminationMessagePath";

/** Kubernetes keeps no more of it. */
export const MAX_TERMINATION_LOG = 4096;

/** The file in the guest that is mounted at the annotated path. Throws INTERNAL. */
export function terminationLogPath(
  annotations: Readonly<Record<string, string>>,
  mounts: readonly grpc.Mount[],
): string {
  const path = annotations[ANNOTATION];
  if (path === undefined) throw internalError("No terminationMessagePath annotation");
  const mount = mounts.findLast(({ destination }) => destination === path);
  // The source of any other mount is a label that nobody has looked at.
  if (mount === undefined || !isBind(mount)) throw internalError(`no mount at ${path}`);
  return mount.source;
}

/**
 * The first 4096 bytes as text. An absent file is empty. The path is the host's and the content the container's, so
 * only a regular file is read, reached without a link, and never one that could block. Throws INTERNAL.
 */
export function readTerminationLog(syscalls: Syscalls, path: string): string {
  let fd: number;
  try {
    fd = openWithoutLinks(syscalls, path, OpenFlag.RDONLY | OpenFlag.NONBLOCK | OpenFlag.NOCTTY);
  } catch (error) {
    if (error instanceof Error && error.message.startsWith("No such file or directory")) return "";
    throw error;
  }
  try {
    if (!fstatSync(fd).isFile()) throw internalError("the termination log is not a regular file");
    const buffer = Buffer.alloc(MAX_TERMINATION_LOG);
    const length = readSync(fd, buffer, 0, buffer.length, 0);
    return buffer.toString("utf8", 0, length);
  } finally {
    closeSync(fd);
  }
}
