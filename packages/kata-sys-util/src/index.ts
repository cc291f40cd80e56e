export * from "./constants.ts";
export { Errno, errnoName, type ErrnoName } from "./errno.ts";
export { hasCode, SysError, type SysErrorCode, type SysErrorOptions } from "./error.ts";
export { linuxSyscalls } from "./linux/index.ts";
export type * from "./syscalls.ts";
