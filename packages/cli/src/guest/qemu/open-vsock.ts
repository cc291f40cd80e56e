import { hasCode } from "@nacre/kata-sys-util";
import { BridgeHost } from "@nacre/vsock/bridge";
import { HybridVsock } from "@nacre/vsock";
import type { Duplex } from "node:stream";

import { NacreError } from "../../error.ts";
import { joinCgroups } from "../cgroups.ts";
import type { ProcessIdentity } from "../identity.ts";
import type { GuestLayout } from "../layout.ts";
import type { Supervision } from "../supervised-guest.ts";
import type { VsockDevice } from "./arguments.ts";
import type { OwnProcess } from "./own-process.ts";
import { contextId, startDeviceProcess, type VsockProvider } from "./vsock-device.ts";

/** Descriptor of QEMU, behind QMP's. */
export const VSOCK_FD = 4;

/** What a guest's vsock consists of on this side. */
export interface OpenVsock {
  readonly device: VsockDevice;
  /** Given to QEMU as {@link VSOCK_FD}, then closed here; or what Node makes of it. */
  readonly connection: Duplex | "ignore" | "pipe";
  /** Told this side's end of a pipe there. */
  attach(end: Duplex | null): void;
  /** Processes that it consists of; they are written down already. */
  readonly helpers: readonly ProcessIdentity[];
  /** Settles only where a process that the guest needs has ended. */
  readonly ended: Promise<string>;
  close(): Promise<void>;
}

/** Makes it; callers from this machine find the guest's ports behind `layout.hybridSocket` in any case. */
export async function openVsock(supervision: Supervision, provider: VsockProvider): Promise<OpenVsock> {
  const { layout, logFd, signal, record } = supervision;
  if (provider.kind === "kernel") {
    const cid = contextId(layout.id);
    const multiplexer = await HybridVsock.listen(layout.hybridSocket, (port) => ({ scheme: "vsock", cid, port }));
    return {
      device: { kind: "vhost", cid },
      connection: "ignore",
      attach: () => {},
      helpers: [],
      ended: new Promise(() => {}),
      close: () => multiplexer.close(),
    };
  }
  if (provider.kind === "serial") return await openSerial(layout, signal);
  const { process, connection } = await startDeviceProcess(provider.program, layout, logFd, signal);
  const helpers = [process.identity];
  record({ helpers });
  await joinGuest(layout, process);
  return {
    device: { kind: "vhost-user", fd: VSOCK_FD },
    connection,
    attach: () => {},
    helpers,
    ended: process.ended.then((how) => `the end of its vsock device, ${how},`),
    close: async () => {
      process.child.kill("SIGKILL");
      await process.ended;
    },
  };
}

/** The other end is a thread of the guest's init. */
async function openSerial({ hybridSocket }: GuestLayout, signal: AbortSignal): Promise<OpenVsock> {
  const bridge = Promise.withResolvers<BridgeHost>();
  bridge.promise.catch(() => {});
  const multiplexer = await HybridVsock.listen(hybridSocket, async (port) => (await bridge.promise).dial(port));
  return {
    device: { kind: "serial", fd: VSOCK_FD },
    connection: "pipe",
    attach: (end) => {
      if (end !== null) bridge.resolve(BridgeHost.open(end, signal));
    },
    helpers: [],
    ended: new Promise(() => {}),
    close: async () => {
      await multiplexer.close();
      await bridge.promise.then(
        (host) => host.close(),
        () => {},
      );
    },
  };
}

/** Puts a process into the guest's control groups. Throws `guest` with how it ended where it is gone already. */
export async function joinGuest({ cgroup }: GuestLayout, { identity, ended }: OwnProcess): Promise<void> {
  try {
    await joinCgroups(cgroup, identity.pid);
  } catch (error) {
    if (!hasCode(error, "ESRCH")) throw error;
    throw new NacreError("guest", `the guest ended with ${await ended} as soon as it had started`);
  }
}
