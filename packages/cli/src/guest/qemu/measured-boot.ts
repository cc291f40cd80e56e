import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";

import type { ProcessIdentity } from "../identity.ts";
import type { Supervision } from "../supervised-guest.ts";
import type { Firmware } from "./arguments.ts";
import { freshFirmware } from "./firmware.ts";
import { joinGuest, VSOCK_FD } from "./open-vsock.ts";
import { startTpm } from "./tpm.ts";

/** Descriptor of QEMU, behind its vsock's. */
const TPM_FD: number = VSOCK_FD + 1;

/** What measures a boot. */
export interface MeasuredBoot {
  readonly firmware: Firmware;
  /** Given to QEMU as the firmware's `tpmFd`, then closed here. */
  readonly connection: Duplex;
  /** Resolves with how the TPM ended. */
  readonly ended: Promise<string>;
  close(): Promise<void>;
}

/** Begins with firmware and a TPM that know of no boot before; `helpers` are the guest's other processes of this kind. */
export async function measuredBoot(
  { layout, logFd, record }: Supervision,
  helpers: readonly ProcessIdentity[],
): Promise<MeasuredBoot> {
  const code = freshFirmware(layout.firmwareVariables);
  const { process, control } = await startTpm(layout.tpm, logFd);
  const { child, identity, ended } = process;
  record({ helpers: [...helpers, identity] });
  await joinGuest(layout, process);
  return {
    firmware: { code, variables: layout.firmwareVariables, tpmFd: TPM_FD },
    connection: control,
    ended,
    close: async () => {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/**
 * Resolves, with the text, where a TPM ends while its machine goes on. With its machine it ends in good order, and may be
 * known to have before `machineEnds` resolves, within `causeMs`; so it does when somebody asks it to.
 */
export async function ownEndOfTpm(
  ended: Promise<string>,
  machineEnds: Promise<unknown>,
  causeMs: number,
): Promise<string> {
  const how = await ended;
  const text = `the end of its TPM, ${how},`;
  if (how !== "status 0") return text;
  const own = await Promise.race([machineEnds.then(() => undefined), delay(causeMs, text, { ref: false })]);
  return own ?? (await new Promise<never>(() => {}));
}
