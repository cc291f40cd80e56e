/**
 * The C library's functions as koffi declares them. A path is `str`; memory that we lay out
 * ourselves is `void *`. The variadic ones (openat, ioctl, fcntl, prctl, `syscall`) are declared with fixed parameters:
 * on x86_64 and arm64 Linux both are passed in the same registers.
 */
export const signatures = {
  mount: "int mount(str, str, str, ulong, str)",
  umount2: "int umount2(str, int)",
  chroot: "int chroot(str)",
  openat: "int openat(int, str, int, uint)",
  mkdirat: "int mkdirat(int, str, uint)",
  mknodat: "int mknodat(int, str, uint, uint64_t)",
  symlinkat: "int symlinkat(str, int, str)",
  linkat: "int linkat(int, str, int, str, int)",
  unlinkat: "int unlinkat(int, str, int)",
  readlinkat: "long readlinkat(int, str, void *, size_t)",
  fchownat: "int fchownat(int, str, uint, uint, int)",
  fchmodat: "int fchmodat(int, str, uint, int)",
  utimensat: "int utimensat(int, str, void *, int)",
  statx: "int statx(int, str, int, uint, void *)",
  statfs: "int statfs(str, void *)",
  setxattr: "int setxattr(str, str, void *, size_t, int)",
  lsetxattr: "int lsetxattr(str, str, void *, size_t, int)",
  fsetxattr: "int fsetxattr(int, str, void *, size_t, int)",
  lgetxattr: "long lgetxattr(str, str, void *, size_t)",
  fgetxattr: "long fgetxattr(int, str, void *, size_t)",
  llistxattr: "long llistxattr(str, void *, size_t)",
  lremovexattr: "int lremovexattr(str, str)",
  prctl: "int prctl(int, ulong, ulong, ulong, ulong)",
  waitid: "int waitid(int, uint, void *, int)",
  unshare: "int unshare(int)",
  setns: "int setns(int, int)",
  sethostname: "int sethostname(str, size_t)",
  setrlimit: "int setrlimit(int, void *)",
  getrlimit: "int getrlimit(int, void *)",
  syncfs: "int syncfs(int)",
  sync: "void sync()",
  reboot: "int reboot(int)",
  swapon: "int swapon(str, int)",
  swapoff: "int swapoff(str)",
  clock_settime: "int clock_settime(int, void *)",
  pipe2: "int pipe2(void *, int)",
  eventfd: "int eventfd(uint, int)",
  fcntl: "int fcntl(int, int, ulong)",
  ioctl: "int ioctl(int, ulong, void *)",
  read: "long read(int, void *, size_t)",
  write: "long write(int, void *, size_t)",
  socket: "int socket(int, int, int)",
  bind: "int bind(int, void *, uint)",
  connect: "int connect(int, void *, uint)",
  listen: "int listen(int, int)",
  accept4: "int accept4(int, void *, void *, int)",
  getsockname: "int getsockname(int, void *, void *)",
  getpeername: "int getpeername(int, void *, void *)",
  getsockopt: "int getsockopt(int, int, int, void *, void *)",
  setsockopt: "int setsockopt(int, int, int, void *, uint)",
  send: "long send(int, void *, size_t, int)",
  socketpair: "int socketpair(int, int, int, void *)",
  recvmsg: "long recvmsg(int, void *, int)",
  sendmsg: "long sendmsg(int, void *, int)",
} as const;

/**
 * System calls for which some C library has no function, through its `syscall`: the number on each machine, then the
 * parameters. Numbers from 403 on are the same everywhere.
 */
export const rawCalls = {
  pivot_root: { x64: 155, arm64: 41, parameters: "str, str" },
  finit_module: { x64: 313, arm64: 273, parameters: "int, str, int" },
  renameat2: { x64: 316, arm64: 276, parameters: "int, str, int, str, uint" },
  pidfd_send_signal: { x64: 424, arm64: 424, parameters: "int, int, void *, uint" },
  open_tree: { x64: 428, arm64: 428, parameters: "int, str, uint" },
  move_mount: { x64: 429, arm64: 429, parameters: "int, str, int, str, uint" },
  pidfd_open: { x64: 434, arm64: 434, parameters: "int, uint" },
  openat2: { x64: 437, arm64: 437, parameters: "int, str, void *, size_t" },
  mount_setattr: { x64: 442, arm64: 442, parameters: "int, str, uint, void *, size_t" },
} as const;

export type CallName = keyof typeof signatures | keyof typeof rawCalls;
