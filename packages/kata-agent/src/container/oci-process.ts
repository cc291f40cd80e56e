import { internalError, invalidArgument } from "../error.ts";
import { CAPABILITIES, RLIMITS } from "./oci-names.ts";
import type { CapabilitiesTree, ProcessTree } from "./tree.ts";

/** `process` of the OCI runtime specification, as far as a guest hands it to the runtime. */
export interface OciProcess {
  terminal: boolean;
  consoleSize?: { height: number; width: number };
  user: { uid: number; gid: number; additionalGids?: readonly number[] };
  args: readonly string[];
  env?: readonly string[];
  cwd: string;
  capabilities: OciCapabilities;
  rlimits?: readonly OciRlimit[];
  noNewPrivileges: boolean;
  oomScoreAdj: number;
}

/** What an exec takes over from the container's first process. */
export type InheritedProcess = Pick<OciProcess, "capabilities" | "rlimits">;

export interface OciCapabilities {
  bounding: readonly string[];
  effective: readonly string[];
  inheritable: readonly string[];
  permitted: readonly string[];
  ambient: readonly string[];
}

export interface OciRlimit {
  type: string;
  hard: bigint;
  soft: bigint;
}

/** What runs when the host names no program, as in the real agent (`the file sh was not found` says so). */
const DEFAULT_ARGS = ["sh"];

/** Converts the first process of a container. Absent capabilities mean none. */
export function convertProcess(tree: ProcessTree | null): OciProcess {
  return {
    ...convertPlain(tree),
    capabilities: convertCapabilities(tree?.Capabilities ?? null),
    ...ifSome("rlimits", convertRlimits(tree)),
  };
}

/**
 * Converts a process for exec. Absent capabilities mean the container's; limits are always the container's, its own
 * are checked but ignored (golden-findings 9).
 */
export function convertExecProcess(tree: ProcessTree, container: InheritedProcess): OciProcess {
  convertRlimits(tree);
  return {
    ...convertPlain(tree),
    capabilities: tree.Capabilities === null ? container.capabilities : convertCapabilities(tree.Capabilities),
    ...ifSome("rlimits", container.rlimits ?? []),
  };
}

function convertPlain(tree: ProcessTree | null): Omit<OciProcess, "capabilities" | "rlimits"> {
  const args = tree === null || tree.Args.length === 0 ? DEFAULT_ARGS : tree.Args;
  for (const arg of args) refuseNul("argument", arg);
  const env = tree?.Env ?? [];
  for (const entry of env) {
    refuseNul("environment entry", entry);
    // The text stays out of the message: an entry may hold a secret.
    if (!entry.includes("=")) throw invalidArgument("environment entry without =");
  }
  const size = tree?.ConsoleSize ?? null;
  const cwd = tree?.Cwd ?? "";
  refuseNul("working directory", cwd);
  const user = tree?.User ?? null;
  const terminal = tree?.Terminal ?? false;
  return {
    terminal,
    ...(terminal && size !== null && size.Height > 0 && size.Width > 0
      ? { consoleSize: { height: size.Height, width: size.Width } }
      : {}),
    user: {
      uid: user?.UID ?? 0,
      gid: user?.GID ?? 0,
      ...ifSome("additionalGids", user?.AdditionalGids ?? []),
    },
    args,
    ...ifSome("env", env),
    // A relative directory starts at the container's root, where the real agent stands when it changes directory.
    cwd: cwd.startsWith("/") ? cwd : `/${cwd}`,
    noNewPrivileges: tree?.NoNewPrivileges ?? false,
    oomScoreAdj: Number(tree?.OOMScoreAdj ?? 0n) || UNPROTECTED,
  };
}

/**
 * Written where the host sends none or 0: otherwise the container would inherit the agent's own, which keeps the OOM
 * killer off. Not 0 itself, which crun 1.8 takes for none.
 */
const UNPROTECTED = 1;

function convertCapabilities(tree: CapabilitiesTree | null): OciCapabilities {
  const check = (names: readonly string[]): readonly string[] => {
    for (const name of names) {
      if (!CAPABILITIES.has(name)) throw invalidArgument(`unknown capability ${name}`);
    }
    return names;
  };
  return {
    bounding: check(tree?.Bounding ?? []),
    effective: check(tree?.Effective ?? []),
    inheritable: check(tree?.Inheritable ?? []),
    permitted: check(tree?.Permitted ?? []),
    ambient: check(tree?.Ambient ?? []),
  };
}

function convertRlimits(tree: ProcessTree | null): OciRlimit[] {
  return (tree?.Rlimits ?? []).map(({ Type, Hard, Soft }) => {
    if (!RLIMITS.has(Type)) throw invalidArgument(`unknown resource limit ${Type}`);
    // setrlimit's own words, which the real agent passes on.
    if (Soft > Hard)
      throw internalError("Invalid argument (os error 22)", `soft limit of ${Type} is above the hard one`);
    return { type: Type, hard: Hard, soft: Soft };
  });
}

function refuseNul(what: string, text: string): void {
  if (text.includes("\0")) throw invalidArgument(`${what} holds a zero byte`);
}

function ifSome<K extends string, T>(key: K, list: readonly T[]): { [P in K]?: readonly T[] } {
  return (list.length === 0 ? {} : { [key]: list }) as { [P in K]?: readonly T[] };
}
