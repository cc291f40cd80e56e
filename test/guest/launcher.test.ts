import { execFileSync, type SpawnSyncReturns, spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempDisposableSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { MALLOC_ENVIRONMENT, NODE_FLAGS } from "@nacre/nvrc";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { elfNeeds } from "../../guest-rootfs/elf.ts";
import { buildProgram } from "../../guest-rootfs/programs.ts";

/** Stands where Node would: writes down how it was started, and collects what it was left. */
const WITNESS = `
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv, char **envp)
{
	FILE *out = fopen("/witness", "w");
	for (int i = 0; i < argc; i++) fprintf(out, "argument %s\\n", argv[i]);
	for (; *envp; envp++) fprintf(out, "environment %s\\n", *envp);
	for (int fd = 0; fd < 20; fd++) if (fd != fileno(out) && fcntl(fd, F_GETFD) >= 0) fprintf(out, "open %d\\n", fd);
	while (wait(0) > 0);
	return 0;
}`;

const SPELT_OUT = [
  ...["/usr/bin/node", ...NODE_FLAGS, "/usr/lib/nacre/nvrc.mjs"].map((text) => `argument ${text}`),
  ...Object.entries(MALLOC_ENVIRONMENT).map(([name, value]) => `environment ${name}=${value}`),
  "open 0",
  "open 1",
  "open 2",
];
/** What a kernel command line may put before its first process. */
const HOSTILE = { NODE_OPTIONS: "--require=/x", LD_PRELOAD: "/dev/vda", NODE_EXTRA_CA_CERTS: "/dev/vda" };
const BARE_WORDS = ["/x.js", "--inspect", "single"];

let folder: ReturnType<typeof mkdtempDisposableSync>;
let root: string;

beforeAll(() => {
  folder = mkdtempDisposableSync(join(tmpdir(), "launcher-"));
  writeFileSync(join(folder.path, "witness.c"), WITNESS);
  execFileSync("gcc", ["-static", "-o", join(folder.path, "witness"), join(folder.path, "witness.c")]);
});
afterAll(() => {
  folder.remove();
});

beforeEach(() => {
  root = join(folder.path, "root");
  rmSync(root, { recursive: true, force: true });
  for (const path of ["usr/bin", "dev", "run"]) mkdirSync(join(root, path), { recursive: true });
  copyFileSync(buildProgram("launcher"), join(root, "init"));
  copyFileSync(join(folder.path, "witness"), join(root, "usr/bin/node"));
});

/** Runs it as the first process of a pid namespace with mounts of its own. */
function asFirst(before: readonly string[] = []): SpawnSyncReturns<string> {
  const unshare = ["/usr/bin/unshare", "--mount", "--pid", "--fork", "--kill-child", "/usr/sbin/chroot", root, "/init"];
  const [file = "", ...args] = [...before, ...unshare, ...BARE_WORDS];
  return spawnSync(file, args, { encoding: "utf8", env: HOSTILE });
}

const witnessed = (): string[] => readFileSync(join(root, "witness"), "utf8").trim().split("\n");

describe("the launcher", () => {
  it("needs no loader and no library, so that nothing can be preloaded", () => {
    expect(elfNeeds(buildProgram("launcher"))).toEqual({ interpreter: undefined, libraries: [] });
  });

  it("starts Node with its own arguments and environment, whatever it was given", () => {
    writeFileSync(join(root, "dev/null"), "");
    expect(asFirst().status).toBe(0);
    expect(witnessed()).toEqual(SPELT_OUT);
  });

  it("opens stdio where there is none and /dev is empty", () => {
    expect(asFirst(["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]).status).toBe(0);
    expect(witnessed()).toEqual(SPELT_OUT);
  });

  it("starts from an initramfs as from any root", () => {
    // Copied into a tmpfs, which ends with the outer namespace; what the witness wrote there is read before.
    const script = `mount -t tmpfs t "$1" && cp -a "$2/." "$1" || exit
      unshare --pid --fork --kill-child chroot "$1" /init single
      cat "$1/witness"; grep -c " $1 " /proc/self/mountinfo`;
    const [inside, args] = [join(folder.path, "tmpfs"), ["--mount", "/bin/sh"]];
    mkdirSync(inside, { recursive: true });
    writeFileSync(join(root, "dev/null"), "");
    const { stdout } = spawnSync("/usr/bin/unshare", [...args, "-c", script, "sh", inside, root], { encoding: "utf8" });
    // Mounted once more over itself: the kernel's first mount has no parent, this one has.
    expect(stdout.trim().split("\n")).toEqual([...SPELT_OUT, "2"]);
  });

  it("passes no other descriptor on", () => {
    writeFileSync(join(root, "dev/null"), "");
    expect(asFirst(["/bin/sh", "-c", 'exec "$@" 7</dev/null 9</dev/null', "sh"]).status).toBe(0);
    expect(witnessed()).toEqual(SPELT_OUT);
  });

  it("starts Node the same way where there is a list of its pages, whatever is in it", () => {
    mkdirSync(join(root, "usr/lib/nacre"), { recursive: true });
    for (const list of [Buffer.alloc(0), Buffer.alloc(5, 1), Buffer.alloc(16, 0xff), Buffer.alloc(100_000, 7)]) {
      writeFileSync(join(root, "usr/lib/nacre/node-pages"), list);
      expect(asFirst().status).toBe(0);
      expect(witnessed()).toEqual(SPELT_OUT);
    }
  });

  it("asks for the listed pages of Node in a process of its own", () => {
    mkdirSync(join(root, "usr/lib/nacre"), { recursive: true });
    writeFileSync(join(root, "usr/lib/nacre/node-pages"), Buffer.from(Uint32Array.of(3, 16, 4096, 1).buffer));
    const calls = join(folder.path, "calls");
    expect(asFirst(["/usr/bin/strace", "-qq", "-f", "-e", "trace=readahead,execve", "-o", calls]).status).toBe(0);
    const lines = readFileSync(calls, "utf8").split("\n");
    const asked = lines.filter((line) => line.includes(" readahead("));
    // Where another process's call comes in between, strace ends the line before the call's end.
    expect(asked.map((line) => line.replace(/^.*?readahead\(\d+, |\).*$| <unfinished.*$/gu, ""))).toEqual([
      "12288, 65536",
      "16777216, 4096",
    ]);
    const pids = (text: string): string[] =>
      lines.filter((line) => line.includes(text)).map((line) => line.split(" ")[0] ?? "");
    expect(pids(" readahead(")).not.toContain(pids('execve("/usr/bin/node"')[0]);
  });

  it("powers off with one line of the kernel's log where Node cannot be started", () => {
    rmSync(join(root, "usr/bin/node"));
    for (const name of ["null", "kmsg"]) writeFileSync(join(root, "dev", name), "");
    // In a pid namespace powering off ends the first process with SIGINT (reboot(2)); an exit would be a kernel panic.
    expect(asFirst()).toMatchObject({ status: null, signal: "SIGINT" });
    expect(readFileSync(join(root, "dev/kmsg"), "utf8")).toBe(
      "<0>NVRC panic: launcher: execve /usr/bin/node: error 2\n",
    );
  });

  it("powers off where there is nothing to mount /dev on", () => {
    rmSync(join(root, "dev"), { recursive: true });
    const { signal, stderr } = asFirst();
    expect(signal).toBe("SIGINT");
    // Before it are complaints of the programs that started it, which do obey LD_PRELOAD.
    expect(stderr.trim().split("\n").at(-1)).toBe("NVRC panic: launcher: mount devtmpfs on /dev: error 2");
  });

  it("ends nothing and mounts nothing where it is not the first process", () => {
    rmSync(join(root, "usr/bin/node"));
    const { status, stderr } = spawnSync("/usr/sbin/chroot", [root, "/init"], { encoding: "utf8" });
    expect([status, stderr]).toEqual([1, "NVRC panic: launcher: execve /usr/bin/node: error 2\n"]);
  });
});
