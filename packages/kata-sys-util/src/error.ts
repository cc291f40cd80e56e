import { errnoName, type ErrnoName } from "./errno.ts";

/** Where the failure came from, beside what the kernel said. */
export interface SysErrorOptions {
  readonly path?: string | undefined;
  readonly cause?: unknown;
}

/**
 * What a system call refused, or `parse` (a kernel file that does not have its documented form) or `native` (the
 * native module of koffi could not be loaded).
 */
export type SysErrorCode = ErrnoName | "parse" | "native";

/**
 * The one error of this package. `code` is the errno's name as in `errno.h`, `errno` its positive number (0 for the
 * codes that are not the kernel's), `syscall` the call as the C library names it.
 */
export class SysError extends Error {
  override readonly name: string = "SysError";
  readonly code: SysErrorCode;
  readonly errno: number;
  readonly syscall: string;
  readonly path: string | undefined;

  constructor(code: SysErrorCode, errno: number, syscall: string, message: string, options: SysErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
    this.path = options.path;
  }

  /** `mount: ENOENT, "/no/such"`: the call, what the kernel said, and the object. */
  static fromErrno(errno: number, syscall: string, path?: string): SysError {
    const code = errnoName(errno);
    const message = path === undefined ? `${syscall}: ${code}` : `${syscall}: ${code}, ${JSON.stringify(path)}`;
    return new SysError(code, errno, syscall, message, { path });
  }
}

/** True if `error` carries this errno name, whether it is ours or one of Node's own file errors. */
export function hasCode(error: unknown, code: ErrnoName): boolean {
  return error instanceof Error && (error as { code?: unknown }).code === code;
}
