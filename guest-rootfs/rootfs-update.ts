import { existsSync } from "node:fs";

import { ARCHS, DEBIAN_ARCH } from "./arch.ts";
import { DebianPackages } from "./debian/apt.ts";
import { type Lock, lockChanges, readLock, writeLock } from "./debian/lock.ts";
import { lockedNames } from "./debian/packages.ts";
import { DEBIAN, LOCK } from "./paths.ts";

const before: Lock = existsSync(LOCK) ? readLock(LOCK) : {};
const fresh = ARCHS.map((arch) => {
  const debian = new DebianPackages(DEBIAN, arch);
  debian.update();
  return [DEBIAN_ARCH[arch], debian.resolve(lockedNames(arch))] as const;
});
const after: Lock = { ...before, ...Object.fromEntries(fresh) };
writeLock(LOCK, after);
const changes = lockChanges(before, after);
process.stdout.write(changes.length === 0 ? "nothing moved\n" : changes.map((line) => `${line}\n`).join(""));
