import { constants } from "node:fs";
import { copyFile, mkdir, readFile, stat } from "node:fs/promises";
import { dirname, posix } from "node:path";

import type { grpc } from "@nacre/protocols";

import { internalError } from "./error.ts";
import { PAUSE_BUNDLE } from "./paths.ts";

/** The pause bundle's config.json is ours, but a limit costs nothing. */
const MAX_CONFIG_BYTES = 1024 * 1024;

/** The parts of the pause bundle's config.json that count (section 3.5). */
export interface PauseProcess {
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly uid: number;
  readonly gid: number;
}

/** Reads the pause bundle's process. Throws INTERNAL when the image has none. */
export async function readPauseProcess(pauseBundle: string = PAUSE_BUNDLE): Promise<PauseProcess> {
  let text: string;
  try {
    const path = `${pauseBundle}/config.json`;
    if ((await stat(path)).size > MAX_CONFIG_BYTES) throw new Error(`config.json: more than ${MAX_CONFIG_BYTES} bytes`);
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw internalError("Pause image not present in rootfs", cause);
  }
  return parsePauseConfig(text);
}

/** Parses the OCI configuration of the pause bundle. Throws INTERNAL when it has no program. */
export function parsePauseConfig(text: string): PauseProcess {
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch (cause) {
    throw internalError("pause bundle: config.json is not JSON", cause);
  }
  const process = record(record(config)["process"]);
  const user = record(process["user"]);
  const args = texts(process["args"]);
  const [program] = args;
  if (program === undefined || !program.startsWith("/") || posix.normalize(program) !== program) {
    throw internalError("pause bundle: expected process.args to begin with an absolute path");
  }
  const { cwd } = process;
  return {
    args,
    env: texts(process["env"]),
    cwd: typeof cwd === "string" ? cwd : "/",
    uid: id(user["uid"]),
    gid: id(user["gid"]),
  };
}

/** Puts the pause program into `<bundle>/rootfs`. */
export async function copyPauseImage(bundle: string, pauseBundle: string = PAUSE_BUNDLE): Promise<void> {
  const { args } = await readPauseProcess(pauseBundle);
  const program = args[0] ?? "";
  const target = `${bundle}/rootfs${program}`;
  await mkdir(dirname(target), { recursive: true, mode: 0o755 });
  try {
    await copyFile(`${pauseBundle}/rootfs${program}`, target, constants.COPYFILE_EXCL);
  } catch (cause) {
    throw internalError("Pause image not present in rootfs", cause);
  }
}

/** The host's process for the sandbox container is dropped; this one runs, with no capabilities and no terminal. */
export function pauseProcessTree(pause: PauseProcess, sent: grpc.Process | null): grpc.Process {
  return {
    Terminal: false,
    ConsoleSize: null,
    User: { UID: pause.uid, GID: pause.gid, AdditionalGids: [], Username: "" },
    Args: [...pause.args],
    Env: [...pause.env],
    Cwd: pause.cwd,
    Capabilities: null,
    Rlimits: [],
    NoNewPrivileges: true,
    ApparmorProfile: "",
    OOMScoreAdj: sent?.OOMScoreAdj ?? 0n,
    SelinuxLabel: "",
  };
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((entry) => typeof entry === "string") : [];
}

function id(value: unknown): number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 ? value : 0;
}
