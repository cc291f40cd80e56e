import { spawn } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { stringifyLossless } from "@nacre/protocols";
import { internalError } from "../error.ts";
import { describeErrno } from "./errno.ts";
import type { OciProcess } from "./oci-process.ts";
import type { PreparedIo } from "./ports.ts";
import { runtimeFailure } from "./runtime-error.ts";

type Stdio = PreparedIo["stdio"];

/**
 * Runs a program and resolves with its exit code, or with the signal's name when one ended it. `spawned` is called
 * once the child has its file descriptors. When `signal` aborts the child is killed.
 */
export type RunProgram = (
  file: string,
  args: readonly string[],
  options: { stdio: Stdio; signal: AbortSignal; spawned: () => void },
) => Promise<number | string>;

export interface OciRuntimeOptions {
  /** Absolute path of runc or crun. */
  binary: string;
  /** The runtime's own state; on tmpfs, ours alone. */
  root: string;
  run?: RunProgram;
}

export interface CreateCall {
  /** As {@link runtimeId} gives it. */
  id: string;
  bundle: string;
  /** Where the pid file, the log and the terminal's socket lie for the moment; ours alone. */
  directory: string;
  io: PreparedIo;
  signal: AbortSignal | undefined;
}

export interface ExecCall extends Omit<CreateCall, "bundle"> {
  process: OciProcess;
}

const QUIET: Stdio = ["ignore", "ignore", "ignore"];
/** A program cannot run with an empty one: runtimes look helpers up in it. */
const PATH = "/usr/sbin:/usr/bin:/sbin:/bin";
/** Longest that a runtime may take for what it does in milliseconds; a stuck one must not hold its container for ever. */
const CALL_LIMIT_MS = 60_000;
/** What a pid file holds; the kernel's numbers have at most seven digits. */
const PID = /^[1-9]\d{0,6}\n?$/;

/**
 * An OCI runtime as a program: argument arrays, absolute path, JSON log for its error texts. It is asked only for what
 * needs namespaces or its bookkeeping; signals, statistics and limits go to the kernel directly.
 */
export class OciRuntime {
  readonly binary: string;
  readonly root: string;
  readonly #run: RunProgram;
  #calls = 0;

  constructor(options: OciRuntimeOptions) {
    if (!isAbsolute(options.binary)) throw new TypeError(`runtime path ${options.binary} is not absolute`);
    this.binary = options.binary;
    this.root = options.root;
    this.#run = options.run ?? runProgram;
  }

  /**
   * Makes the container up to the point where its first process waits for {@link start}. Resolves with that pid. When
   * the signal aborts too late, the pid comes all the same: the caller must look, and end the process.
   */
  async create(call: CreateCall): Promise<number> {
    const pidFile = this.#scratch(call.directory, "pid");
    const args = ["create", "--bundle", call.bundle, "--pid-file", pidFile, ...consoleArgs(call.io), call.id];
    return this.#callForPid("create", args, pidFile, call);
  }

  /**
   * Runs a second process in the container and resolves with its pid at once. A runtime that has begun is not ended by
   * the signal: the process may run before its pid is told, and nobody would know it. As with {@link create}, the caller
   * must look.
   */
  async exec(call: ExecCall): Promise<number> {
    call.signal?.throwIfAborted();
    const pidFile = this.#scratch(call.directory, "pid");
    const processFile = this.#scratch(call.directory, "process");
    try {
      // May hold a secret in its environment: our own directory on tmpfs, mode 0600, gone right after.
      await writeFile(processFile, stringifyLossless(call.process), { mode: 0o600, flag: "wx" });
      const args = ["exec", "--detach", "--process", processFile, "--pid-file", pidFile];
      const whole = { ...call, signal: undefined };
      return await this.#callForPid("exec", [...args, ...consoleArgs(call.io), call.id], pidFile, whole);
    } finally {
      await rm(processFile, { force: true });
    }
  }

  /** Lets the first process go. Not to be given up half way: nobody would know whether it runs. */
  async start(id: string, directory: string): Promise<void> {
    await this.#call("start", ["start", id], { directory, signal: undefined });
  }

  async pause(id: string, directory: string): Promise<void> {
    await this.#call("pause", ["pause", id], { directory, signal: undefined });
  }

  async resume(id: string, directory: string): Promise<void> {
    await this.#call("resume", ["resume", id], { directory, signal: undefined });
  }

  /** Kills what is left and removes the runtime's state and control groups; fine when there is none. */
  async delete(id: string, directory: string): Promise<void> {
    await this.#call("delete", ["delete", "--force", id], { directory, signal: undefined });
  }

  /** The directory that the runtime keeps about a container. */
  stateDirectory(id: string): string {
    return join(this.root, id);
  }

  async #callForPid(
    verb: string,
    args: readonly string[],
    pidFile: string,
    call: Omit<CreateCall, "bundle">,
  ): Promise<number> {
    try {
      await this.#call(verb, args, call);
      const pid = await readPid(pidFile);
      if (pid === undefined) throw internalError(`${this.binary} left no process id`);
      return pid;
    } catch (error) {
      const late = call.signal?.aborted === true ? await readPid(pidFile) : undefined;
      if (late === undefined) throw error;
      return late;
    } finally {
      await rm(pidFile, { force: true });
    }
  }

  async #call(
    verb: string,
    args: readonly string[],
    options: { directory: string; signal: AbortSignal | undefined; io?: PreparedIo },
  ): Promise<void> {
    options.signal?.throwIfAborted();
    const limit = AbortSignal.timeout(CALL_LIMIT_MS);
    const log = this.#scratch(options.directory, "log");
    await mkdir(this.root, { recursive: true, mode: 0o700 });
    const global = ["--root", this.root, "--log", log, "--log-format", "json"];
    try {
      const status = await this.#run(this.binary, [...global, ...args], {
        stdio: options.io?.stdio ?? QUIET,
        signal: options.signal === undefined ? limit : AbortSignal.any([options.signal, limit]),
        spawned: () => options.io?.release(),
      });
      options.signal?.throwIfAborted();
      if (status !== 0) throw runtimeFailure(verb, status, await readFile(log, "utf8").catch(() => ""));
    } finally {
      await rm(log, { force: true });
    }
  }

  #scratch(directory: string, kind: string): string {
    this.#calls += 1;
    return join(directory, `${this.#calls}.${kind}`);
  }
}

function consoleArgs(io: PreparedIo): string[] {
  return io.consoleSocket === undefined ? [] : ["--console-socket", io.consoleSocket];
}

async function readPid(file: string): Promise<number | undefined> {
  const text = await readFile(file, "latin1").catch(() => "");
  return PID.test(text) ? Number(text) : undefined;
}

const runProgram: RunProgram = (file, args, { stdio, signal, spawned }) =>
  new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const child = spawn(file, args, { stdio: [...stdio], env: { PATH }, cwd: "/" });
    const kill = (): void => {
      child.kill("SIGKILL");
    };
    signal.addEventListener("abort", kill, { once: true });
    child.once("error", (error) => {
      signal.removeEventListener("abort", kill);
      reject(internalError(`cannot run ${file}`, describeErrno(error)));
    });
    child.once("exit", (code, name) => {
      signal.removeEventListener("abort", kill);
      resolve(code ?? name ?? 1);
    });
    spawned();
  });
