/**
 * The C structures that cross the boundary, field by field. Only structures that x86_64 and arm64 lay out alike are
 * used (`struct stat` is not: statx(2) takes its place). A test compiles a C program that prints sizes and offsets and
 * compares them with what koffi makes of these, because a wrong offset gives a silent wrong answer.
 *
 * A field is `[type, count]` for an array. Types are koffi's names.
 */
export type Field = string | readonly [type: string, count: number];

export const layouts = {
  /** openat2(2) */
  open_how: { flags: "uint64_t", mode: "uint64_t", resolve: "uint64_t" },
  /** mount_setattr(2) */
  mount_attr: { attr_set: "uint64_t", attr_clr: "uint64_t", propagation: "uint64_t", userns_fd: "uint64_t" },
  /** utimensat(2), clock_settime(2) */
  timespec: { tv_sec: "int64_t", tv_nsec: "int64_t" },
  /** The SIGCHLD part of siginfo_t; the rest of its 128 bytes is padding here. */
  siginfo_t: {
    si_signo: "int",
    si_errno: "int",
    si_code: "int",
    pad: "int",
    si_pid: "int",
    si_uid: "uint",
    si_status: "int",
    rest: ["int", 25],
  },
  /** SO_PEERCRED of unix(7) */
  ucred: { pid: "int", uid: "uint", gid: "uint" },
  iovec: { iov_base: "uintptr_t", iov_len: "size_t" },
  /** The C library's: its length fields are size_t where the kernel's are too. */
  msghdr: {
    msg_name: "uintptr_t",
    msg_namelen: "uint32_t",
    msg_iov: "uintptr_t",
    msg_iovlen: "size_t",
    msg_control: "uintptr_t",
    msg_controllen: "size_t",
    msg_flags: "int",
  },
  cmsghdr: { cmsg_len: "size_t", cmsg_level: "int", cmsg_type: "int" },
  statfs: {
    f_type: "int64_t",
    f_bsize: "int64_t",
    f_blocks: "uint64_t",
    f_bfree: "uint64_t",
    f_bavail: "uint64_t",
    f_files: "uint64_t",
    f_ffree: "uint64_t",
    f_fsid: ["int", 2],
    f_namelen: "int64_t",
    f_frsize: "int64_t",
    f_flags: "int64_t",
    f_spare: ["int64_t", 4],
  },
  sockaddr_vm: {
    svm_family: "uint16_t",
    svm_reserved1: "uint16_t",
    svm_port: "uint32_t",
    svm_cid: "uint32_t",
    svm_flags: "uint8_t",
    svm_zero: ["uint8_t", 3],
  },
  sockaddr_nl: { nl_family: "uint16_t", nl_pad: "uint16_t", nl_pid: "uint32_t", nl_groups: "uint32_t" },
  winsize: { ws_row: "uint16_t", ws_col: "uint16_t", ws_xpixel: "uint16_t", ws_ypixel: "uint16_t" },
  rlimit: { rlim_cur: "uint64_t", rlim_max: "uint64_t" },
  statx_timestamp: { tv_sec: "int64_t", tv_nsec: "uint32_t", reserved: "int32_t" },
  /** linux/stat.h; 256 bytes on every architecture. */
  statx: {
    stx_mask: "uint32_t",
    stx_blksize: "uint32_t",
    stx_attributes: "uint64_t",
    stx_nlink: "uint32_t",
    stx_uid: "uint32_t",
    stx_gid: "uint32_t",
    stx_mode: "uint16_t",
    spare0: "uint16_t",
    stx_ino: "uint64_t",
    stx_size: "uint64_t",
    stx_blocks: "uint64_t",
    stx_attributes_mask: "uint64_t",
    stx_atime: "statx_timestamp",
    stx_btime: "statx_timestamp",
    stx_ctime: "statx_timestamp",
    stx_mtime: "statx_timestamp",
    stx_rdev_major: "uint32_t",
    stx_rdev_minor: "uint32_t",
    stx_dev_major: "uint32_t",
    stx_dev_minor: "uint32_t",
    spare: ["uint64_t", 14],
  },
} as const;

export type LayoutName = keyof typeof layouts;
