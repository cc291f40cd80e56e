import { GenPolicyError } from "./error.ts";
import type { Fields } from "./fields.ts";

/** What containerd gives a container that is not privileged. */
const DEFAULT = [
  "CHOWN",
  "DAC_OVERRIDE",
  "FSETID",
  "FOWNER",
  "MKNOD",
  "NET_RAW",
  "SETGID",
  "SETUID",
  "SETFCAP",
  "SETPCAP",
  "NET_BIND_SERVICE",
  "SYS_CHROOT",
  "KILL",
  "AUDIT_WRITE",
];

/** All of Linux 6.x (capabilities(7)). */
const ALL = [
  ...DEFAULT,
  ..."DAC_READ_SEARCH LINUX_IMMUTABLE NET_BROADCAST NET_ADMIN IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_PTRACE".split(
    " ",
  ),
  ..."SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG LEASE AUDIT_CONTROL".split(" "),
  ..."MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE".split(" "),
];

/** A container's capabilities, `CAP_…`, by its securityContext. @throws GenPolicyError */
export function capabilities(securityContext: Fields | undefined): readonly string[] {
  const change = securityContext?.child("capabilities");
  const add = (change?.texts("add") ?? []).map(plain);
  const drop = (change?.texts("drop") ?? []).map(plain);
  change?.done();
  for (const name of [...add, ...drop]) {
    if (name !== "ALL" && !ALL.includes(name)) {
      throw new GenPolicyError("manifest", `${change?.path ?? ""}: no capability ${name}`);
    }
  }
  let set = new Set(add.includes("ALL") ? ALL : DEFAULT);
  if (drop.includes("ALL")) set = new Set();
  for (const name of add) if (name !== "ALL") set.add(name);
  for (const name of drop) set.delete(name);
  return [...set].map((name) => `CAP_${name}`);
}

function plain(name: string): string {
  return name.toUpperCase().replace(/^CAP_/u, "");
}
