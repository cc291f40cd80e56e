import type { grpc, Init } from "@nacre/protocols";
import type { ImageConfig } from "oci-client";

import { NacreError } from "./error.ts";

/** What containerd sets where an image says nothing. */
const DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** What containerd gives a container that is not privileged. */
export const CAPABILITIES: readonly string[] = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FSETID",
  "CAP_FOWNER",
  "CAP_MKNOD",
  "CAP_NET_RAW",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETFCAP",
  "CAP_SETPCAP",
  "CAP_NET_BIND_SERVICE",
  "CAP_SYS_CHROOT",
  "CAP_KILL",
  "CAP_AUDIT_WRITE",
];

/** What the user asks of a process; everything else comes from the image. */
export interface ProcessOptions {
  /** Replaces the image's Cmd. */
  readonly command?: readonly string[] | undefined;
  /** `NAME=VALUE`, or `NAME` to take the value from `hostEnv`. */
  readonly env?: readonly string[];
  readonly hostEnv?: Readonly<Record<string, string | undefined>>;
  readonly terminal?: boolean;
  readonly size?: { readonly rows: number; readonly columns: number } | undefined;
  /** `UID[:GID]` */
  readonly user?: string | undefined;
  readonly workdir?: string | undefined;
}

/** The parts of an image's configuration that a process is made from. */
export type ProcessDefaults = Pick<ImageConfig, "entrypoint" | "cmd" | "env" | "workingDir" | "user">;

/** The first process of a container: the image's configuration with what the user asks for. Throws NacreError `usage`. */
export function containerProcess(image: ProcessDefaults, options: ProcessOptions): Init<grpc.Process> {
  const args = [...image.entrypoint, ...(options.command ?? image.cmd)];
  if (args.length === 0) {
    throw new NacreError("usage", "the image names no command: give one after --");
  }
  const { uid, gid } = parseUser(options.user ?? image.user);
  const terminal = options.terminal ?? false;
  const base = image.env.some((entry) => entry.startsWith("PATH=")) ? image.env : [DEFAULT_PATH, ...image.env];
  return {
    Args: args,
    Terminal: terminal,
    ...consoleSize(options),
    Env: mergeEnv(base, terminal ? ["TERM=xterm"] : [], chosenEnv(options)),
    Cwd: options.workdir ?? (image.workingDir === "" ? "/" : image.workingDir),
    User: { UID: uid, GID: gid, AdditionalGids: [gid] },
    Capabilities: { Bounding: CAPABILITIES, Effective: CAPABILITIES, Permitted: CAPABILITIES },
  };
}

/** A process beside it: the container's own, with another command. */
export function execProcess(container: Init<grpc.Process>, options: ProcessOptions): Init<grpc.Process> {
  const { Env = [], Cwd = "/", User } = container as { Env?: readonly string[]; Cwd?: string; User?: Init<grpc.User> };
  const terminal = options.terminal ?? false;
  const chosen = options.user === undefined ? undefined : parseUser(options.user);
  return {
    Args: options.command ?? [],
    Terminal: terminal,
    ...consoleSize(options),
    Env: mergeEnv(Env, terminal ? ["TERM=xterm"] : [], chosenEnv(options)),
    Cwd: options.workdir ?? Cwd,
    User: chosen === undefined ? (User ?? {}) : { UID: chosen.uid, GID: chosen.gid, AdditionalGids: [chosen.gid] },
  };
}

/**
 * `UID[:GID]` in numbers. Names stand in the image's own /etc/passwd, which is inside the guest: the host cannot resolve
 * them. Throws NacreError `usage`.
 */
export function parseUser(text: string): { readonly uid: number; readonly gid: number } {
  const [user = "", group = "0"] = text === "" ? ["0", "0"] : text.split(":", 2);
  const [uid, gid] = [user, group].map((part) => (/^\d{1,10}$/u.test(part) ? Number(part) : -1)) as [number, number];
  // The last number is how system calls say "unchanged".
  if (uid < 0 || gid < 0 || uid >= 0xffff_ffff || gid >= 0xffff_ffff) {
    throw new NacreError("usage", `user ${JSON.stringify(text)} is not UID[:GID] in numbers: say --user with them`);
  }
  return { uid, gid };
}

function consoleSize({ terminal, size }: ProcessOptions): Init<grpc.Process> {
  if (terminal !== true || size === undefined) return {};
  return { ConsoleSize: { Height: size.rows, Width: size.columns } };
}

function chosenEnv({ env = [], hostEnv = {} }: ProcessOptions): readonly string[] {
  return env.flatMap((entry) => {
    if (entry.startsWith("=") || entry === "") throw new NacreError("usage", "--env: expected NAME=VALUE or NAME");
    if (entry.includes("=")) return [entry];
    const value = hostEnv[entry];
    return value === undefined ? [] : [`${entry}=${value}`];
  });
}

/** Later entries replace earlier ones of the same name, in the earlier one's place. */
function mergeEnv(...lists: readonly (readonly string[])[]): string[] {
  const byName = new Map<string, string>();
  for (const entry of lists.flat()) byName.set(entry.slice(0, entry.indexOf("=")), entry);
  return [...byName.values()];
}
