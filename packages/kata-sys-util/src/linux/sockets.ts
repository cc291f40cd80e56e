import { closeSync } from "node:fs";

import { Socket } from "../constants.ts";
import { Errno } from "../errno.ts";
import { hasCode, SysError } from "../error.ts";
import type { LibC } from "../native.ts";
import type { PeerCredentials, ReceivedMessage, SocketCalls, VsockAddress } from "../syscalls.ts";
import { cString } from "./path.ts";

const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const SO_ERROR = 4;
const SO_PEERCRED = 17;
const MSG_TRUNC = 0x20;
const MSG_CTRUNC = 0x8;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
/** SCM_MAX_FD: what the kernel puts into one message. */
const MAX_FDS = 253;
/** `sun_path` less its NUL. */
const UNIX_PATH_MAX = 107;
const FLAGS = Socket.NONBLOCK | Socket.CLOEXEC;

interface RawMessage {
  readonly msg_controllen: number | bigint;
  readonly msg_flags: number;
}

interface RawNetlinkName {
  readonly nl_pid: number;
}

interface RawVsockName {
  readonly svm_cid: number;
  readonly svm_port: number;
}

interface Message {
  /** The msghdr. Its pointers are numbers, so the blocks they point at must be kept by whoever holds this. */
  readonly header: Buffer;
  readonly blocks: readonly Buffer[];
}

export function socketCalls(libc: () => LibC): SocketCalls {
  const message = (data: Buffer, control: Buffer, name?: Buffer): Message => {
    const { koffi } = libc();
    const vector = libc().encode("iovec", { iov_base: koffi.address(data), iov_len: data.length });
    const header = libc().encode("msghdr", {
      msg_name: name === undefined ? 0 : koffi.address(name),
      msg_namelen: name?.length ?? 0,
      msg_iov: koffi.address(vector),
      msg_iovlen: 1,
      msg_control: control.length === 0 ? 0 : koffi.address(control),
      msg_controllen: control.length,
      msg_flags: 0,
    });
    return { header, blocks: [data, vector, control, ...(name === undefined ? [] : [name])] };
  };
  const headerSize = (): number => libc().structure("cmsghdr").size;
  const sockaddr = (address: VsockAddress): Buffer =>
    libc().encode("sockaddr_vm", {
      svm_family: Socket.AF_VSOCK,
      svm_reserved1: 0,
      svm_port: address.port,
      svm_cid: address.cid,
      svm_flags: 0,
      svm_zero: [0, 0, 0],
    });
  const vsockAddress = (call: "getpeername" | "getsockname", fd: number): VsockAddress => {
    const name = libc().alloc("sockaddr_vm");
    const length = Buffer.from([name.length, 0, 0, 0]);
    libc().call(call, undefined, fd, name, length);
    const raw = libc().decode("sockaddr_vm", name) as RawVsockName;
    return { cid: raw.svm_cid, port: raw.svm_port };
  };

  return {
    socket: (family, type, protocol = 0) => libc().call("socket", undefined, family, type | FLAGS, protocol),
    setSocketOption: (fd, level, name, value) => {
      const bytes = Buffer.alloc(4);
      bytes.writeInt32LE(value);
      libc().call("setsockopt", undefined, fd, level, name, bytes, bytes.length);
    },
    socketpair: () => {
      const ends = Buffer.alloc(8);
      libc().call("socketpair", undefined, Socket.AF_UNIX, Socket.STREAM | FLAGS, 0, ends);
      return [ends.readInt32LE(0), ends.readInt32LE(4)];
    },
    unixBind: (fd, path) => {
      const name = unixAddress(path, "bind");
      libc().call("bind", path, fd, name, name.length);
    },
    unixConnect: (fd, path) => {
      const name = unixAddress(path, "connect");
      libc().call("connect", path, fd, name, name.length);
    },
    vsockBind: (fd, address) => {
      const name = sockaddr(address);
      libc().call("bind", vsockName(address), fd, name, name.length);
    },
    listen: (fd, backlog) => {
      libc().call("listen", undefined, fd, backlog);
    },
    accept: (fd) => {
      const accepted = libc().attempt("accept4", fd, null, null, FLAGS);
      if (accepted >= 0) return accepted;
      // A connection that its peer gave up before we took it is none.
      if (accepted === -Errno.EAGAIN || accepted === -Errno.ECONNABORTED) return undefined;
      throw SysError.fromErrno(-accepted, "accept4");
    },
    vsockConnect: (fd, address) => {
      const name = sockaddr(address);
      const result = libc().attempt("connect", fd, name, name.length);
      if (result >= 0) return true;
      if (result === -Errno.EINPROGRESS) return false;
      throw SysError.fromErrno(-result, "connect", vsockName(address));
    },
    socketError: (fd) => {
      const value = Buffer.alloc(4);
      const length = Buffer.from([4, 0, 0, 0]);
      libc().call("getsockopt", undefined, fd, SOL_SOCKET, SO_ERROR, value, length);
      return value.readInt32LE(0);
    },
    peerCredentials: (fd) => {
      const value = libc().alloc("ucred");
      const length = Buffer.from([value.length, 0, 0, 0]);
      libc().call("getsockopt", undefined, fd, SOL_SOCKET, SO_PEERCRED, value, length);
      return libc().decode("ucred", value) as PeerCredentials;
    },
    vsockLocalAddress: (fd) => vsockAddress("getsockname", fd),
    vsockPeerAddress: (fd) => vsockAddress("getpeername", fd),
    netlinkBind: (fd, groups) => {
      const name = libc().encode("sockaddr_nl", {
        nl_family: Socket.AF_NETLINK,
        nl_pad: 0,
        nl_pid: 0,
        nl_groups: groups,
      });
      libc().call("bind", undefined, fd, name, name.length);
    },
    netlinkSend: async (fd, data) => {
      await libc().later("send", undefined, fd, data, data.length, MSG_NOSIGNAL);
    },
    netlinkReceive: async (fd, buffer) => {
      const name = libc().alloc("sockaddr_nl");
      const { header, blocks } = message(buffer, Buffer.alloc(0), name);
      try {
        const length = await libc().later("recvmsg", undefined, fd, header, MSG_DONTWAIT);
        const { msg_flags } = libc().decode("msghdr", header) as RawMessage;
        const { nl_pid } = libc().decode("sockaddr_nl", name) as RawNetlinkName;
        // Names the blocks after the call, so that they outlive it.
        return {
          length: Math.min(length, blocks[0]?.length ?? 0),
          port: nl_pid,
          truncated: (msg_flags & MSG_TRUNC) !== 0,
        };
      } catch (error) {
        if (hasCode(error, "EAGAIN") || hasCode(error, "EINTR")) return undefined;
        throw error;
      }
    },
    recvmsg: (fd, maxBytes, maxFds): ReceivedMessage | undefined => {
      const data = Buffer.alloc(maxBytes);
      const control = Buffer.alloc(headerSize() + align(4 * Math.min(maxFds, MAX_FDS)));
      const { header, blocks } = message(data, control);
      const count = libc().attempt("recvmsg", fd, header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
      if (count === -Errno.EAGAIN || count === -Errno.EINTR) return undefined;
      if (count < 0) throw SysError.fromErrno(-count, "recvmsg");
      const { msg_controllen, msg_flags } = libc().decode("msghdr", header) as RawMessage;
      const fds = receivedFds(control.subarray(0, Math.min(Number(msg_controllen), control.length)), headerSize());
      // The kernel fills the rounded-up space too, so that one descriptor more than asked for can have come.
      for (const surplus of fds.splice(maxFds)) closeSync(surplus);
      const truncated = (msg_flags & (MSG_TRUNC | MSG_CTRUNC)) !== 0;
      return { data: (blocks[0] ?? data).subarray(0, count), fds, truncated };
    },
    sendmsg: (fd, data, fds) => {
      const control = fds.length === 0 ? Buffer.alloc(0) : rights(fds, libc());
      const { header, blocks } = message(Buffer.from(data), control);
      const count = libc().call("sendmsg", undefined, fd, header, MSG_DONTWAIT | MSG_NOSIGNAL);
      // Reads the blocks after the call, so that they outlive it.
      return blocks.length > 0 ? count : 0;
    },
  };
}

/** Control messages are aligned to the size of a pointer. */
function align(size: number): number {
  return (size + 7) & ~7;
}

function rights(fds: readonly number[], libc: LibC): Buffer {
  const { size } = libc.structure("cmsghdr");
  const control = Buffer.alloc(size + align(4 * fds.length));
  libc
    .encode("cmsghdr", { cmsg_len: size + 4 * fds.length, cmsg_level: SOL_SOCKET, cmsg_type: SCM_RIGHTS })
    .copy(control);
  for (const [index, fd] of fds.entries()) control.writeInt32LE(fd, size + 4 * index);
  return control;
}

/** Walks the control messages; stops at the first that does not fit, for the kernel wrote them. */
function receivedFds(control: Buffer, headerSize: number): number[] {
  const fds: number[] = [];
  for (let offset = 0; offset + headerSize <= control.length;) {
    const length = Number(control.readBigUInt64LE(offset));
    if (length < headerSize || offset + length > control.length) break;
    const isRights = control.readInt32LE(offset + 8) === SOL_SOCKET && control.readInt32LE(offset + 12) === SCM_RIGHTS;
    const end = isRights ? offset + length : 0;
    for (let at = offset + headerSize; at + 4 <= end; at += 4) fds.push(control.readInt32LE(at));
    offset += align(length);
  }
  return fds;
}

/** sockaddr_un: the family, then the path and its NUL, or a NUL and the abstract name behind `@`. */
function unixAddress(path: string, call: string): Buffer {
  const bytes = Buffer.from(cString(path, call));
  const abstract = bytes[0] === 0x40;
  if (abstract) bytes[0] = 0;
  if (bytes.length > UNIX_PATH_MAX) throw SysError.fromErrno(Errno.ENAMETOOLONG, call, path);
  // The length of an abstract name is told by that of the address alone.
  const name = Buffer.alloc(2 + bytes.length + (abstract ? 0 : 1));
  name.writeUInt16LE(Socket.AF_UNIX, 0);
  bytes.copy(name, 2);
  return name;
}

function vsockName(address: VsockAddress): string {
  return `vsock://${address.cid}:${address.port}`;
}
