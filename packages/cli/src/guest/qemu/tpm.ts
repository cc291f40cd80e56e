import { existsSync, mkdirSync, rmSync } from "node:fs";
import type { Duplex } from "node:stream";

import { NacreError } from "../../error.ts";
import { type OwnProcess, startOwnProcess } from "./own-process.ts";

/** Of Debian's package swtpm. */
const SWTPM = "/usr/bin/swtpm";
/** The first descriptor after the standard ones. */
const CONTROL_FD = 3;

/** A TPM 2.0 of one machine, as a process. */
export interface EmulatedTpm {
  readonly process: OwnProcess;
  /** Its control channel, for QEMU, which passes the commands' one along it; nothing has a name. */
  readonly control: Duplex;
}

/** Starts a TPM that nothing was ever measured into; `folder` becomes its state's. Throws `environment`. */
export async function startTpm(folder: string, logFd: number): Promise<EmulatedTpm> {
  if (!existsSync(SWTPM)) throw new NacreError("environment", `expected ${SWTPM}: apt-get install swtpm`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { mode: 0o700 });
  const control = ["--ctrl", `type=unixio,clientfd=${CONTROL_FD}`, "--terminate"];
  const argv = [SWTPM, "socket", "--tpm2", "--tpmstate", `dir=${folder}`, ...control];
  const process = await startOwnProcess(argv, ["ignore", logFd, logFd, "pipe"]);
  return { process, control: process.child.stdio[CONTROL_FD] as Duplex };
}
