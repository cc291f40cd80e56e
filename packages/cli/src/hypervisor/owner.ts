import { readFileSync, rmSync, writeFileSync } from "node:fs";

import { hasCode } from "@nacre/kata-sys-util";

import { NacreError } from "../error.ts";
import { identityOf, isAlive, parseIdentity } from "../guest/identity.ts";

/** Times that a file of a dead owner is taken away before somebody else must have been faster. */
const ATTEMPTS = 4;

/**
 * Makes this process the owner of what the file stands for, until it is disposed of or the process ends. Throws
 * NacreError `environment` when another process that lives is.
 */
export function takeOwnership(file: string): Disposable {
  const me = identityOf(process.pid);
  if (me === undefined) throw new NacreError("environment", `take ${file}: expected this process in /proc`);
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    try {
      writeFileSync(file, JSON.stringify(me), { mode: 0o600, flag: "wx" });
      return { [Symbol.dispose]: () => rmSync(file, { force: true }) };
    } catch (error) {
      if (!hasCode(error, "EEXIST")) throw error;
    }
    const owner = ownerOf(file);
    if (isAlive(owner)) throw new NacreError("environment", `process ${owner?.pid} serves here already (${file})`);
    rmSync(file, { force: true });
  }
  throw new NacreError("environment", `another process takes ${file} at this moment`);
}

function ownerOf(file: string): ReturnType<typeof parseIdentity> {
  try {
    return parseIdentity(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    // Gone, or written half by a process that was killed over it.
    return undefined;
  }
}
