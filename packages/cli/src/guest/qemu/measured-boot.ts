import type { Duplex } from "node:stream";

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
  /** Settles only where the TPM ends otherwise than with its machine. */
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
    // QEMU has it end in good order before itself.
    ended: ended.then((how) => (how === "status 0" ? new Promise(() => {}) : `the end of its TPM, ${how},`)),
    close: async () => {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
