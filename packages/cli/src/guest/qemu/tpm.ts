import { createPublicKey } from "node:crypto";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";

import { NacreError } from "../../error.ts";
import { makeAttestationKey } from "./attestation-key.ts";
import { type OwnProcess, startOwnProcess } from "./own-process.ts";

/** Of Debian's package swtpm. */
export const SWTPM = "/usr/bin/swtpm";
/** The first descriptor after the standard ones. */
const CHANNEL_FD = 3;

/** A TPM 2.0 of one machine, as a process. */
export interface EmulatedTpm {
  readonly process: OwnProcess;
  /** Its control channel, for QEMU, which passes the commands' one along it; nothing has a name. */
  readonly control: Duplex;
}

/**
 * Makes a TPM that nothing was ever measured into, with its attestation key; `folder` becomes its state's. Resolves with
 * the key's public part (SPKI, DER). Rejects with `environment`.
 */
export async function makeTpm(folder: string, logFd: number): Promise<Buffer> {
  if (!existsSync(SWTPM)) throw new NacreError("environment", `expected ${SWTPM}: apt-get install swtpm`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { mode: 0o700 });
  // It ends with the connection, and what is to stay of it lies in the folder then.
  const commands = ["--fd", String(CHANNEL_FD), "--flags", "not-need-init,startup-clear"];
  const { child, ended } = await startSwtpm(folder, logFd, commands);
  const channel = child.stdio[CHANNEL_FD] as Socket;
  const modulus = await makeAttestationKey(channel).finally(() => channel.destroy());
  const how = await ended;
  if (how !== "status 0") throw new NacreError("environment", `make a TPM: ${SWTPM} ended with ${how}`);
  const jwk = { kty: "RSA", n: modulus.toString("base64url"), e: "AQAB" };
  return createPublicKey({ key: jwk, format: "jwk" }).export({ format: "der", type: "spki" });
}

/** Starts a TPM that was made. Rejects with `environment`. */
export async function startTpm(folder: string, logFd: number): Promise<EmulatedTpm> {
  const process = await startSwtpm(folder, logFd, ["--ctrl", `type=unixio,clientfd=${CHANNEL_FD}`]);
  return { process, control: process.child.stdio[CHANNEL_FD] as Duplex };
}

async function startSwtpm(folder: string, logFd: number, channel: readonly string[]): Promise<OwnProcess> {
  const argv = [SWTPM, "socket", "--tpm2", "--tpmstate", `dir=${folder}`, ...channel, "--terminate"];
  return await startOwnProcess(argv, ["ignore", logFd, logFd, "pipe"]);
}
