export * from "./constants.ts";
export { Errno, errnoName, type ErrnoName } from "./errno.ts";
export { hasCode, SysError, type SysErrorCode, type SysErrorOptions } from "./error.ts";
export { linuxSyscalls } from "./linux/index.ts";
export { mountInfo, parseMountInfo, unescapeOctal, type MountInfo } from "./mount-info.ts";
export { parseMountOptions, type MountOptions } from "./mount-options.ts";
export { bindMount, isWithin, mountWithOptions, unmountTree } from "./mounts.ts";
export { SafeRoot, type SafeRootOptions } from "./safe-root.ts";
export type * from "./syscalls.ts";
