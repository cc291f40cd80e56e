import { constants } from "node:fs";

/**
 * Open flags. O_DIRECTORY and O_NOFOLLOW have other values on arm64 than on x86_64, so those come from Node, which was
 * compiled for the machine it runs on; the rest is the same on both.
 */
export const OpenFlag: Readonly<
  Record<
    | "RDONLY"
    | "WRONLY"
    | "RDWR"
    | "CREAT"
    | "EXCL"
    | "NOCTTY"
    | "TRUNC"
    | "APPEND"
    | "NONBLOCK"
    | "DIRECTORY"
    | "NOFOLLOW"
    | "CLOEXEC"
    | "PATH",
    number
  >
> = {
  RDONLY: constants.O_RDONLY,
  WRONLY: constants.O_WRONLY,
  RDWR: constants.O_RDWR,
  CREAT: constants.O_CREAT,
  EXCL: constants.O_EXCL,
  NOCTTY: constants.O_NOCTTY,
  TRUNC: constants.O_TRUNC,
  APPEND: constants.O_APPEND,
  NONBLOCK: constants.O_NONBLOCK,
  DIRECTORY: constants.O_DIRECTORY,
  NOFOLLOW: constants.O_NOFOLLOW,
  CLOEXEC: 0x80000,
  PATH: 0x200000,
};

/** `resolve` of openat2(2): what path resolution may not do. */
export const Resolve = {
  NO_XDEV: 0x01,
  NO_MAGICLINKS: 0x02,
  NO_SYMLINKS: 0x04,
  BENEATH: 0x08,
  IN_ROOT: 0x10,
  CACHED: 0x20,
} as const;

/** `dirfd` and flags of the *at calls. */
export const At = {
  FDCWD: -100,
  SYMLINK_NOFOLLOW: 0x100,
  REMOVEDIR: 0x200,
  SYMLINK_FOLLOW: 0x400,
  EMPTY_PATH: 0x1000,
  RECURSIVE: 0x8000,
} as const;

/** Flags of renameat2(2). */
export const Rename = { NOREPLACE: 1, EXCHANGE: 2, WHITEOUT: 4 } as const;

/** Flags of mount(2). */
export const MountFlag = {
  RDONLY: 0x1,
  NOSUID: 0x2,
  NODEV: 0x4,
  NOEXEC: 0x8,
  SYNCHRONOUS: 0x10,
  REMOUNT: 0x20,
  MANDLOCK: 0x40,
  DIRSYNC: 0x80,
  NOSYMFOLLOW: 0x100,
  NOATIME: 0x400,
  NODIRATIME: 0x800,
  BIND: 0x1000,
  MOVE: 0x2000,
  REC: 0x4000,
  SILENT: 0x8000,
  POSIXACL: 0x10000,
  UNBINDABLE: 0x20000,
  PRIVATE: 0x40000,
  SLAVE: 0x80000,
  SHARED: 0x100000,
  RELATIME: 0x200000,
  I_VERSION: 0x800000,
  STRICTATIME: 0x1000000,
  LAZYTIME: 0x2000000,
} as const;

/** Attributes of a mount for mount_setattr(2). ATIME is the mask of the three that exclude each other. */
export const MountAttribute = {
  RDONLY: 0x1,
  NOSUID: 0x2,
  NODEV: 0x4,
  NOEXEC: 0x8,
  ATIME: 0x70,
  RELATIME: 0x0,
  NOATIME: 0x10,
  STRICTATIME: 0x20,
  NODIRATIME: 0x80,
  NOSYMFOLLOW: 0x200000,
} as const;

/** Flags of umount2(2). */
export const Unmount = { FORCE: 1, DETACH: 2, EXPIRE: 4, NOFOLLOW: 8 } as const;

/** Options of waitid(2). */
export const Wait = {
  NOHANG: 1,
  STOPPED: 2,
  EXITED: 4,
  CONTINUED: 8,
  NOWAIT: 0x1000000,
} as const;

/** `si_code` of a SIGCHLD. */
export const ChildCode = { EXITED: 1, KILLED: 2, DUMPED: 3, TRAPPED: 4, STOPPED: 5, CONTINUED: 6 } as const;

/** Options of prctl(2) that the daemons use. */
export const Prctl = {
  SET_PDEATHSIG: 1,
  SET_DUMPABLE: 4,
  SET_NAME: 15,
  SET_CHILD_SUBREAPER: 36,
  GET_CHILD_SUBREAPER: 37,
  SET_NO_NEW_PRIVS: 38,
} as const;

/** Namespace flags of unshare(2) and setns(2). */
export const CloneFlag = {
  NEWNS: 0x20000,
  NEWCGROUP: 0x2000000,
  NEWUTS: 0x4000000,
  NEWIPC: 0x8000000,
  NEWUSER: 0x10000000,
  NEWPID: 0x20000000,
  NEWNET: 0x40000000,
} as const;

/** ioctl(2) requests: terminals and the vsock device. */
export const Ioctl = {
  TIOCSCTTY: 0x540e,
  TIOCGWINSZ: 0x5413,
  TIOCSWINSZ: 0x5414,
  TIOCGPTPEER: 0x5441,
  TIOCGPTN: 0x80045430,
  TIOCSPTLCK: 0x40045431,
  VM_SOCKETS_GET_LOCAL_CID: 0x7b9,
} as const;

/** Socket families, types and flags. */
export const Socket = {
  AF_UNIX: 1,
  AF_NETLINK: 16,
  AF_VSOCK: 40,
  STREAM: 1,
  DGRAM: 2,
  RAW: 3,
  NONBLOCK: 0x800,
  CLOEXEC: 0x80000,
} as const;

/** vsock addresses: any port, any context, the hypervisor, this machine's own loopback, the host. */
export const Vsock = {
  PORT_ANY: 0xffffffff,
  CID_ANY: 0xffffffff,
  CID_HYPERVISOR: 0,
  CID_LOCAL: 1,
  CID_HOST: 2,
} as const;

/** `cmd` of reboot(2). */
export const Reboot = { RESTART: 0x01234567, HALT: 0xcdef0123, POWER_OFF: 0x4321fedc, CAD_OFF: 0 } as const;

/** Resources of setrlimit(2) by the names that OCI uses. */
export const Rlimit = {
  RLIMIT_CPU: 0,
  RLIMIT_FSIZE: 1,
  RLIMIT_DATA: 2,
  RLIMIT_STACK: 3,
  RLIMIT_CORE: 4,
  RLIMIT_RSS: 5,
  RLIMIT_NPROC: 6,
  RLIMIT_NOFILE: 7,
  RLIMIT_MEMLOCK: 8,
  RLIMIT_AS: 9,
  RLIMIT_LOCKS: 10,
  RLIMIT_SIGPENDING: 11,
  RLIMIT_MSGQUEUE: 12,
  RLIMIT_NICE: 13,
  RLIMIT_RTPRIO: 14,
  RLIMIT_RTTIME: 15,
} as const;

/** File type bits of a mode. */
export const FileType = {
  MASK: 0o170000,
  SOCKET: 0o140000,
  SYMLINK: 0o120000,
  REGULAR: 0o100000,
  BLOCK: 0o060000,
  DIRECTORY: 0o040000,
  CHARACTER: 0o020000,
  FIFO: 0o010000,
} as const;
