import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import { linuxSyscalls, Reaper } from "@nacre/kata-sys-util";
import { fromJson, type grpc } from "@nacre/protocols";
import {
  type Container,
  ContainerManager,
  type CreateOptions,
  OciRuntime,
  type Process,
  systemContainerPorts,
} from "../../packages/kata-agent/src/container/index.ts";
import { recordingLogger } from "../../packages/kata-agent/test/container/fakes.ts";
import { specTree, type SpecParts } from "../../packages/kata-agent/test/container/trees.ts";

const APPLETS = [
  "sh",
  "ls",
  "cat",
  "echo",
  "sleep",
  "true",
  "false",
  "id",
  "pwd",
  "kill",
  "stty",
  "head",
  "grep",
  "dd",
];
const BUSYBOX = "/bin/busybox";

export interface HarnessOptions {
  /** Absolute path of the runtime; runc unless told. */
  runtime?: string;
}

/**
 * A container manager on the real kernel with a busybox root, in folders and control groups of its own. `close` removes
 * them and tells what was left behind.
 */
export class ContainerHarness {
  readonly directory: string = mkdtempSync("/run/nacre-container-");
  readonly pod: string = `/nacre-container-${process.pid}-${Math.random().toString(36).slice(2, 8)}`;
  readonly rootfs: string = join(this.directory, "rootfs");
  readonly manager: ContainerManager;
  /** Resolves with the id of the first container that runs out of memory. */
  readonly nextOom: Promise<string>;
  readonly log: string[];
  readonly #reaper: Reaper;
  readonly #roots: readonly string[];
  #containers = 0;
  #tellOom: (id: string) => void = () => {};

  constructor(options: HarnessOptions = {}) {
    this.nextOom = new Promise((resolve) => {
      this.#tellOom = resolve;
    });
    for (const name of ["bin", "proc", "dev", "sys", "tmp", "etc"])
      mkdirSync(join(this.rootfs, name), { recursive: true });
    copyFileSync(BUSYBOX, join(this.rootfs, "bin/busybox"));
    for (const name of APPLETS) symlinkSync("busybox", join(this.rootfs, "bin", name));
    const syscalls = linuxSyscalls();
    this.#reaper = new Reaper({ sys: syscalls });
    this.#reaper.start();
    const { logger, lines } = recordingLogger();
    this.log = lines;
    const ports = systemContainerPorts(syscalls, logger, join(this.directory, "tty"));
    this.#roots = ports.cgroups.all;
    this.manager = new ContainerManager({
      ...ports,
      runtime: new OciRuntime({ binary: options.runtime ?? "/usr/sbin/runc", root: join(this.directory, "runtime") }),
      reaper: this.#reaper,
      log: logger,
      paths: { state: join(this.directory, "state"), sysctl: "/proc/sys" },
      onOom: (id) => this.#tellOom(id),
    });
  }

  /** Creates a container that runs `script` in a shell; its control group lies in the harness's pod. */
  async create(script: string, parts: SpecParts = {}, options: Partial<CreateOptions> = {}): Promise<Container> {
    this.#containers += 1;
    const id = options.id ?? `c${this.#containers}-test`;
    const bundleDir = join(this.directory, "bundles", id);
    mkdirSync(bundleDir, { recursive: true });
    return this.manager.create({
      id,
      spec: specTree({
        rootfs: this.rootfs,
        ...parts,
        process: { Args: ["sh", "-c", script], ...parts.process },
        linux: { CgroupsPath: join(this.pod, id), ...parts.linux },
      }),
      bundleDir,
      namespaces: {},
      ...options,
    });
  }

  /** As {@link create}, and starts it. */
  async run(script: string, parts: SpecParts = {}, options: Partial<CreateOptions> = {}): Promise<Container> {
    const container = await this.create(script, parts, options);
    await container.start();
    return container;
  }

  /** Removes everything; resolves with what should not be there any more. */
  async close(): Promise<string[]> {
    for (const { id } of this.manager.list()) await this.manager.remove(id, { timeoutMs: 0 });
    this.#reaper.stop();
    const left = this.leftovers();
    for (const root of this.#roots) removeGroups(join(root, this.pod));
    rmSync(this.directory, { recursive: true });
    return left;
  }

  /** Mounts, control groups of containers, processes and files that are there now. */
  leftovers(): string[] {
    const groups = this.#roots.flatMap((root) => {
      const pod = join(root, this.pod);
      return existsSync(pod) ? directories(pod).map((name) => `cgroup ${join(pod, name)}`) : [];
    });
    const mounts = readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .filter((line) => line.includes(this.directory));
    const files = ["state", "runtime", "tty"].flatMap((name) => {
      const path = join(this.directory, name);
      return existsSync(path) ? readdirSync(path).map((entry) => `file ${join(path, entry)}`) : [];
    });
    const configs = directories(join(this.directory, "bundles"))
      .map((name) => join(this.directory, "bundles", name, "config.json"))
      .filter((path) => existsSync(path));
    return [...groups, ...mounts, ...files, ...configs, ...this.processes()];
  }

  /** Processes whose root or command line is that of a container here. */
  processes(): string[] {
    return readdirSync("/proc").flatMap((pid) => {
      if (!/^\d+$/.test(pid)) return [];
      try {
        const groups = readFileSync(`/proc/${pid}/cgroup`, "utf8");
        return groups.includes(`${this.pod}/`) ? [`process ${pid}`] : [];
      } catch {
        return [];
      }
    });
  }
}

/** Everything that a process writes until its end, as text. */
export async function output(process: Process, stream: "stdout" | "stderr" = "stdout"): Promise<string> {
  const chunks: Uint8Array[] = [];
  const { signal } = new AbortController();
  for (;;) {
    const chunk = await (stream === "stdout" ? process.readStdout(32_768, signal) : process.readStderr(32_768, signal));
    if (chunk.length === 0) return Buffer.concat(chunks).toString();
    chunks.push(chunk);
  }
}

/** Output up to and including `end`. */
export async function outputUntil(process: Process, end: string): Promise<string> {
  const { signal } = new AbortController();
  let text = "";
  while (!text.includes(end)) {
    const chunk = await process.readStdout(32_768, signal);
    if (chunk.length === 0) throw new Error(`output ended before ${JSON.stringify(end)}: ${JSON.stringify(text)}`);
    text += Buffer.from(chunk).toString();
  }
  return text;
}

/** A process for exec that runs `script` in a shell. */
export function shell(script: string, json: object = {}): grpc.Process {
  return fromJson("grpc.Process", {
    Args: ["sh", "-c", script],
    Env: ["PATH=/bin"],
    Cwd: "/",
    NoNewPrivileges: true,
    ...json,
  }) as grpc.Process;
}

/** A signal that nobody aborts. */
export function never(): AbortSignal {
  return new AbortController().signal;
}

function directories(path: string): string[] {
  if (!existsSync(path)) return [];
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
}

function removeGroups(path: string): void {
  for (const name of directories(path)) removeGroups(join(path, name));
  if (existsSync(path)) rmdirSync(path);
}
