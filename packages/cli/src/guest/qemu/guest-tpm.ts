import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";

import type { ProcessIdentity } from "../identity.ts";
import type { Supervision } from "../supervised-guest.ts";
import { joinGuest, VSOCK_FD } from "./open-vsock.ts";
import { writeOwnReferenceValues } from "./own-reference-values.ts";
import { makeTpm, startTpm } from "./tpm.ts";

/** A TPM of one boot, and what it takes to give it to QEMU. */
export interface GuestTpm {
  /** Descriptor of QEMU, behind its vsock's, that {@link connection} becomes. */
  readonly fd: number;
  /** Given to QEMU, then closed here. */
  readonly connection: Duplex;
  /** Resolves with how it ended. */
  readonly ended: Promise<string>;
  close(): Promise<void>;
}

/**
 * Starts a TPM that knows of no boot before, with an attestation key whose public part is written down, for those who
 * are to trust it; `helpers` are the guest's other processes of this kind.
 */
export async function guestTpm(
  { layout, logFd, record }: Supervision,
  helpers: readonly ProcessIdentity[],
  initdata: string | undefined,
): Promise<GuestTpm> {
  const attestationKey = await makeTpm(layout.tpm, logFd);
  await writeOwnReferenceValues(layout, attestationKey, initdata);
  const { process, control } = await startTpm(layout.tpm, logFd);
  const { child, identity, ended } = process;
  record({ helpers: [...helpers, identity], attestationKey: attestationKey.toString("base64") });
  await joinGuest(layout, process);
  return {
    fd: VSOCK_FD + 1,
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
