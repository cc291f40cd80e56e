import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";

import { type Arch, HOST_ARCH } from "./arch.ts";
import { nodeBinary } from "./npm-package.ts";
import { PROGRAMS, ROOT } from "./paths.ts";

/** The programs in C: each one file beside this one, without a C library, without anything that varies between builds. */
export type Program = "launcher" | "pause" | "stage1";

/** What they share. */
const SHARED: string = join(ROOT, "guest-rootfs/syscall.h");

const FLAGS: readonly string[] = [
  "-Os",
  "-nostdlib",
  "-static",
  "-ffreestanding",
  "-fno-stack-protector",
  "-fno-asynchronous-unwind-tables",
  "-fno-pie",
  "-no-pie",
  "-Wl,--build-id=none,-z,noseparate-code,-z,noexecstack,-s",
  "-Wall",
  "-Wextra",
  "-Werror",
];

const CROSS_PREFIX: Readonly<Record<Arch, string>> = { x64: "x86_64-linux-gnu-", arm64: "aarch64-linux-gnu-" };

/** A tool of Debian's binutils or gcc for that architecture. */
export function toolFor(arch: Arch, name: string): string {
  return arch === HOST_ARCH ? name : `${CROSS_PREFIX[arch]}${name}`;
}

export function programPath(program: Program | "node", arch: Arch = HOST_ARCH): string {
  return join(PROGRAMS, arch, program);
}

/** Compiles a program where its source is newer, and answers where it lies. Needs Debian's package gcc. */
export function buildProgram(program: Program, arch: Arch = HOST_ARCH): string {
  return compile(program, programPath(program, arch), arch, []);
}

/** Stage 1 as a program for tests: it reads a command line on stdin, says what it comes to, and does nothing. */
export function buildStage1Parser(): string {
  return compile("stage1", join(PROGRAMS, HOST_ARCH, "stage1-parser"), HOST_ARCH, ["-DPARSE_ONLY"]);
}

function compile(program: Program, output: string, arch: Arch, defines: readonly string[]): string {
  const source = join(ROOT, `guest-rootfs/${program}.c`);
  const args = [...FLAGS, ...defines, "-o"];
  makeFrom([source, SHARED], output, (fresh) =>
    execFileSync(toolFor(arch, "gcc"), [...args, fresh, source], { stdio: ["ignore", "inherit", "inherit"] }),
  );
  return output;
}

/** The npm package's Node without its symbols, 18 MB less. */
export function stripNode(arch: Arch = HOST_ARCH): string {
  const source = nodeBinary(arch);
  const output = programPath("node", arch);
  makeFrom([source], output, (fresh) => execFileSync(toolFor(arch, "strip"), ["--strip-all", "-o", fresh, source]));
  return output;
}

/** Whole under its name or not there; made anew where a source is newer. */
function makeFrom(sources: readonly string[], output: string, make: (fresh: string) => void): void {
  const made = statSync(output, { throwIfNoEntry: false });
  // npm gives files old times: when a file came here tells its change time.
  const times = sources.map((source) => statSync(source)).flatMap(({ mtimeMs, ctimeMs }) => [mtimeMs, ctimeMs]);
  if (made !== undefined && made.mtimeMs >= Math.max(...times)) return;
  mkdirSync(join(output, ".."), { recursive: true });
  const fresh = `${output}.${process.pid}`;
  make(fresh);
  if (!existsSync(fresh)) throw new Error(`${output}: expected it to be made from ${sources[0]}, got nothing`);
  renameSync(fresh, output);
}
