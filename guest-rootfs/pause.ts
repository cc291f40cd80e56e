import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";

import { PROGRAMS, ROOT } from "./paths.ts";

/** No C library, nothing that varies from build to build. */
const FLAGS: readonly string[] = [
  "-Os",
  "-nostdlib",
  "-static",
  "-ffreestanding",
  "-fno-stack-protector",
  "-fno-asynchronous-unwind-tables",
  "-fno-pie",
  "-no-pie",
  "-Wl,--build-id=none,-z,noseparate-code,-s",
  "-Wall",
  "-Wextra",
  "-Werror",
];

/** Compiles the pause program where its source is newer. Needs Debian's package gcc. */
export function buildPause(): void {
  const source = join(ROOT, "guest-rootfs/pause.c");
  const output = join(PROGRAMS, "pause");
  if (existsSync(output) && statSync(output).mtimeMs >= statSync(source).mtimeMs) return;
  mkdirSync(PROGRAMS, { recursive: true });
  const fresh = `${output}.${process.pid}`;
  execFileSync("gcc", [...FLAGS, "-o", fresh, source], { stdio: ["ignore", "inherit", "inherit"] });
  renameSync(fresh, output);
}
