import { Prctl, Wait } from "../constants.ts";
import { Errno } from "../errno.ts";
import { SysError } from "../error.ts";
import type { LibC } from "../native.ts";
import type { ChildInfo, ProcessCalls, ResourceLimit, WaitTarget } from "../syscalls.ts";
import { cString } from "./path.ts";

const P_ALL = 0;
const P_PID = 1;
const P_PIDFD = 3;
/** RLIM_INFINITY */
const INFINITY = 0xffff_ffff_ffff_ffffn;

interface RawSiginfo {
  readonly si_pid: number;
  readonly si_uid: number;
  readonly si_code: number;
  readonly si_status: number;
}

export function processCalls(libc: () => LibC): ProcessCalls {
  return {
    setChildSubreaper: (on) => {
      libc().call("prctl", undefined, Prctl.SET_CHILD_SUBREAPER, on ? 1 : 0, 0, 0, 0);
    },
    prctl: (option, ...args) => {
      const [a = 0, b = 0, c = 0, d = 0] = args;
      return libc().call("prctl", undefined, option, a, b, c, d);
    },
    waitid: (target, options): ChildInfo | undefined => {
      if ((options & Wait.NOHANG) === 0) {
        throw new SysError("EINVAL", Errno.EINVAL, "waitid", "waitid: expected WNOHANG, got a wait that blocks");
      }
      const block = libc().alloc("siginfo_t");
      const [type, id] = waitTarget(target);
      libc().call("waitid", undefined, type, id, block, options);
      const info = libc().decode("siginfo_t", block) as RawSiginfo;
      if (info.si_pid === 0) return undefined;
      return { pid: info.si_pid, uid: info.si_uid, code: info.si_code, status: info.si_status };
    },
    pidfdOpen: (pid) => libc().call("pidfd_open", undefined, pid, 0),
    pidfdSendSignal: (pidfd, signal) => {
      libc().call("pidfd_send_signal", undefined, pidfd, signal, null, 0);
    },
    unshare: (flags) => {
      libc().call("unshare", undefined, flags);
    },
    setns: (fd, type) => {
      libc().call("setns", undefined, fd, type);
    },
    sethostname: (name) => {
      libc().call("sethostname", undefined, cString(name, "sethostname"), Buffer.byteLength(name));
    },
    setrlimit: (resource, limit) => {
      const block = libc().encode("rlimit", {
        rlim_cur: limit.soft ?? INFINITY,
        rlim_max: limit.hard ?? INFINITY,
      });
      libc().call("setrlimit", undefined, resource, block);
    },
    getrlimit: (resource): ResourceLimit => {
      const block = libc().alloc("rlimit");
      libc().call("getrlimit", undefined, resource, block);
      const raw = libc().decode("rlimit", block) as { rlim_cur: number | bigint; rlim_max: number | bigint };
      return { soft: limitValue(raw.rlim_cur), hard: limitValue(raw.rlim_max) };
    },
    sync: async () => {
      await libc().later("sync", undefined);
    },
    syncfs: async (fd) => {
      await libc().later("syncfs", undefined, fd);
    },
  };
}

function waitTarget(target: WaitTarget): readonly [type: number, id: number] {
  if ("pid" in target) return [P_PID, target.pid];
  if ("pidfd" in target) return [P_PIDFD, target.pidfd];
  return [P_ALL, 0];
}

function limitValue(raw: number | bigint): bigint | undefined {
  const value = BigInt(raw);
  return value === INFINITY ? undefined : value;
}
