/** A path or name: text is UTF-8; bytes are for names that are not. Neither may contain NUL. */
export type PathLike = string | Uint8Array;

/** What {@link FileCalls.openat2} may do on its way; see `OpenFlag` and `Resolve`. */
export interface OpenHow {
  readonly flags: number;
  /** Permission bits of a file that is created; the kernel refuses a mode without O_CREAT. */
  readonly mode?: number;
  readonly resolve?: number;
}

/** statx(2), the basic part. Times are nanoseconds since the epoch. */
export interface FileStatus {
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly ino: bigint;
  readonly size: bigint;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  readonly devMajor: number;
  readonly devMinor: number;
  readonly atimeNs: bigint;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

/** statfs(2). Sizes are in blocks of `bsize` bytes. */
export interface FileSystemStatus {
  readonly type: number;
  readonly bsize: number;
  readonly blocks: bigint;
  readonly bfree: bigint;
  readonly bavail: bigint;
  readonly files: bigint;
  readonly ffree: bigint;
  readonly namelen: number;
  /** ST_RDONLY = 1, ST_NOSUID = 2, ST_NODEV = 4, ST_NOEXEC = 8, … */
  readonly flags: number;
}

/** mount_setattr(2): `MountAttribute` bits, and one propagation type (`MountFlag`) or 0 to leave it. */
export interface MountAttributes {
  readonly set: number;
  readonly clear: number;
  readonly propagation: number;
}

/** Mounts and the root. Those that can wait for a device or a server never run on the event loop. */
export interface MountCalls {
  mount(
    source: string | null,
    target: string,
    fstype: string | null,
    flags: number,
    data?: string | null,
  ): Promise<void>;
  umount2(target: string, flags?: number): Promise<void>;
  /** A copy of the mount at `source` (recursive: with those below it) that is attached nowhere yet; CLOEXEC. */
  openTreeClone(source: string, recursive: boolean): Promise<number>;
  mountSetattr(tree: number, recursive: boolean, change: MountAttributes): void;
  /** Attaches it: at a path, whose last symbolic link is followed as mount(2) does, or at an open directory or file. */
  moveMount(tree: number, target: string | number): Promise<void>;
  pivotRoot(newRoot: string, putOld: string): void;
  chroot(path: string): void;
  statfs(path: string): Promise<FileSystemStatus>;
}

/** Files relative to a directory descriptor. Those that only touch directory entries are synchronous. */
export interface FileCalls {
  openat(dirfd: number, path: PathLike, flags: number, mode?: number): number;
  openat2(dirfd: number, path: PathLike, how: OpenHow): number;
  /** For file systems that may not answer (network, FUSE). */
  openat2Async(dirfd: number, path: PathLike, how: OpenHow): Promise<number>;
  mkdirat(dirfd: number, path: PathLike, mode: number): void;
  /** `mode` holds the file type; major and minor are 0 for a FIFO or a socket. */
  mknodat(dirfd: number, path: PathLike, mode: number, major: number, minor: number): void;
  symlinkat(target: PathLike, dirfd: number, path: PathLike): void;
  linkat(oldDirfd: number, oldPath: PathLike, newDirfd: number, newPath: PathLike, flags?: number): void;
  unlinkat(dirfd: number, path: PathLike, flags?: number): void;
  renameat2(oldDirfd: number, oldPath: PathLike, newDirfd: number, newPath: PathLike, flags?: number): void;
  readlinkat(dirfd: number, path: PathLike): Buffer;
  fchownat(dirfd: number, path: PathLike, uid: number, gid: number, flags?: number): void;
  /** Follows a symbolic link at the end of `path`: the kernel's call has no flags. */
  fchmodat(dirfd: number, path: PathLike, mode: number): void;
  /** Nanoseconds since the epoch; undefined leaves that time alone. */
  utimensat(
    dirfd: number,
    path: PathLike,
    atimeNs: bigint | undefined,
    mtimeNs: bigint | undefined,
    flags?: number,
  ): void;
  statx(dirfd: number, path: PathLike, flags?: number): FileStatus;
  setxattr(path: PathLike, name: string, value: Uint8Array, flags?: number): void;
  lsetxattr(path: PathLike, name: string, value: Uint8Array, flags?: number): void;
  fsetxattr(fd: number, name: string, value: Uint8Array, flags?: number): void;
  lgetxattr(path: PathLike, name: string): Buffer;
  fgetxattr(fd: number, name: string): Buffer;
  llistxattr(path: PathLike): readonly string[];
  lremovexattr(path: PathLike, name: string): void;
}

/** Which children {@link ProcessCalls.waitid} asks about. */
export type WaitTarget = { readonly all: true } | { readonly pid: number } | { readonly pidfd: number };

/** What waitid(2) reports: `code` is a `ChildCode`, `status` an exit code or a signal number by it. */
export interface ChildInfo {
  readonly pid: number;
  readonly uid: number;
  readonly code: number;
  readonly status: number;
}

/** A limit; undefined is unlimited. */
export interface ResourceLimit {
  readonly soft: bigint | undefined;
  readonly hard: bigint | undefined;
}

export interface ProcessCalls {
  /** Orphans of the descendants of this process become its children. */
  setChildSubreaper(on: boolean): void;
  prctl(option: number, ...args: readonly number[]): number;
  /** Options must hold Wait.NOHANG: a wait never stands on the event loop. Undefined: nothing to report. */
  waitid(target: WaitTarget, options: number): ChildInfo | undefined;
  pidfdOpen(pid: number): number;
  pidfdSendSignal(pidfd: number, signal: number): void;
  /** The calling thread only: Node's other threads stay where they are, so that mounts made later by them do too. */
  unshare(flags: number): void;
  /** The calling thread only, as {@link unshare}. */
  setns(fd: number, type: number): void;
  sethostname(name: string): void;
  setrlimit(resource: number, limit: ResourceLimit): void;
  getrlimit(resource: number): ResourceLimit;
  /** Writes back every file system; waits for the devices. */
  sync(): Promise<void>;
  syncfs(fd: number): Promise<void>;
}

/** What the kernel takes with an ioctl(2): nothing, a number, or memory that it reads or fills. */
export type IoctlArgument = number | Uint8Array | null;

/** A pointer within memory that an ioctl(2) takes: the block's address is put at the offset. */
export interface IoctlPointer {
  readonly offset: number;
  readonly block: Buffer;
  /** Pointers within that block. */
  readonly inner?: readonly IoctlPointer[];
}

/** What {@link DescriptorCalls.poll} reports. */
export interface Readiness {
  readonly readable: boolean;
  readonly writable: boolean;
  readonly disconnect: boolean;
  /** The error of libuv's poll, if any; a descriptor that cannot be polled. */
  readonly error: Error | undefined;
}

/** A watch of a descriptor's readiness on the event loop. */
export interface Watch {
  /** Goes on after {@link stop}. */
  start(): void;
  stop(): void;
  /** Stops for good. Must come before the descriptor is closed. */
  close(): void;
  ref(): void;
  unref(): void;
}

export interface DescriptorCalls {
  /** Both ends are CLOEXEC whatever the flags say: nothing leaks into a child by accident. */
  pipe2(flags?: number): readonly [read: number, write: number];
  /** A counter at 0 that is readable once the kernel has added to it. CLOEXEC and non-blocking. */
  eventfd(): number;
  setNonBlocking(fd: number, on: boolean): void;
  setCloseOnExec(fd: number, on: boolean): void;
  /** A copy of a descriptor, CLOEXEC. */
  dup(fd: number): number;
  ioctl(fd: number, request: number, argument: IoctlArgument): number;
  /** The same on another thread, for devices that take their time; `argument` may point at further memory. */
  ioctlLater(fd: number, request: number, argument: Buffer, pointers?: readonly IoctlPointer[]): Promise<number>;
  /** Bytes read (0 = end), or undefined if a non-blocking descriptor has none now. */
  read(fd: number, buffer: Uint8Array): number | undefined;
  /** Bytes written, or undefined if a non-blocking descriptor takes none now. */
  write(fd: number, buffer: Uint8Array): number | undefined;
  /** Calls back as long as the descriptor is ready; makes it non-blocking (libuv). One watch per descriptor. */
  poll(
    fd: number,
    events: { readonly readable?: boolean; readonly writable?: boolean; readonly disconnect?: boolean },
    callback: (ready: Readiness) => void,
  ): Watch;
}

/** A message with the descriptors that came with it. */
export interface ReceivedMessage {
  readonly data: Buffer;
  /** CLOEXEC, owned by the caller from now on. */
  readonly fds: readonly number[];
  /** True if data or descriptors were cut off: those that the kernel could not deliver are closed by it. */
  readonly truncated: boolean;
}

/** An AF_VSOCK address; see `Vsock` for the special values. */
export interface VsockAddress {
  readonly cid: number;
  readonly port: number;
}

/** What {@link SocketCalls.netlinkReceive} received. */
export interface NetlinkDatagram {
  readonly length: number;
  /** The sender: 0 is the kernel. */
  readonly port: number;
  /** The buffer was too small, and the rest is lost. */
  readonly truncated: boolean;
}

/** The process at the other end of a unix socket, as it was when it connected. */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Sockets that Node cannot make. All are non-blocking and CLOEXEC. */
export interface SocketCalls {
  socket(family: number, type: number, protocol?: number): number;
  /** An option whose value is an int. */
  setSocketOption(fd: number, level: number, name: number, value: number): void;
  socketpair(): readonly [number, number];
  /** A path of at most 107 bytes (sockaddr_un), where the socket appears as a file; or `@` and an abstract name. */
  unixBind(fd: number, path: string): void;
  unixConnect(fd: number, path: string): void;
  vsockBind(fd: number, address: VsockAddress): void;
  listen(fd: number, backlog: number): void;
  /** Undefined if no connection waits. */
  accept(fd: number): number | undefined;
  /** True if connected at once; false if it goes on: wait until writable, then ask {@link socketError}. */
  vsockConnect(fd: number, address: VsockAddress): boolean;
  /** SO_ERROR: 0 or the positive error number of what happened since the last call. */
  socketError(fd: number): number;
  /** SO_PEERCRED: who connected a unix socket, or made the pair; pid 0 for a process of another pid namespace. */
  peerCredentials(fd: number): PeerCredentials;
  vsockLocalAddress(fd: number): VsockAddress;
  vsockPeerAddress(fd: number): VsockAddress;
  /** With a port number that the kernel chooses, and the multicast groups of a mask. */
  netlinkBind(fd: number, groups: number): void;
  /** To the kernel, which works on it before this resolves and may wait for other changes meanwhile. */
  netlinkSend(fd: number, data: Uint8Array): Promise<void>;
  /** The next datagram, at the start of `buffer`; undefined if there is none now. */
  netlinkReceive(fd: number, buffer: Buffer): Promise<NetlinkDatagram | undefined>;
  /** Undefined if a non-blocking socket has nothing; empty data and no descriptors is the end. */
  recvmsg(fd: number, maxBytes: number, maxFds: number): ReceivedMessage | undefined;
  sendmsg(fd: number, data: Uint8Array, fds: readonly number[]): number;
}

/** Calls that change the machine, not a namespace. Daemons reach them through `Effects`, never directly. */
export interface MachineCalls {
  clockSettime(timeNs: bigint): void;
  swapon(path: string, flags: number): Promise<void>;
  swapoff(path: string): Promise<void>;
  finitModule(fd: number, parameters: string): Promise<void>;
  reboot(command: number): void;
}

/** The port to the kernel: one method per call, named as the C library's, errors as `SysError`. */
export interface Syscalls extends MountCalls, FileCalls, ProcessCalls, DescriptorCalls, SocketCalls, MachineCalls {}
