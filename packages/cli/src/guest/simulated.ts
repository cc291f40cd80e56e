import { HybridVsock } from "@nacre/vsock";

import { NacreError } from "../error.ts";
import { createCgroups, joinCgroups } from "./cgroups.ts";
import { launchGuest } from "./launch.ts";
import { AGENT_PORT, portSocket } from "./layout.ts";
import { connectGuest } from "./network.ts";
import type { SimulatedPlan } from "./plan.ts";
import { sendSignal } from "./process-end.ts";
import type { SupervisedGuest, Supervision } from "./supervised-guest.ts";
import { waitForSocket } from "./wait-socket.ts";

/** Starts a guest in namespaces; resolves when its agent takes connections. */
export async function startSimulated(supervision: Supervision, plan: SimulatedPlan): Promise<SupervisedGuest> {
  const { root, layout, state, logFd, tracer, signal, record } = supervision;
  await createCgroups(layout.cgroup, {
    ...(plan.memoryBytes === undefined ? {} : { memoryBytes: plan.memoryBytes }),
    ...(plan.cpus === undefined ? {} : { cpus: plan.cpus }),
  });
  const multiplexer = await HybridVsock.listen(layout.hybridSocket, (port) => `unix://${portSocket(layout, port)}`);
  await tracer.step("prepare", undefined);
  const guest = await tracer.step("namespaces", launchGuest(root, layout, logFd));
  record({ launcher: guest.launcher, init: guest.init });
  await joinCgroups(layout.cgroup, guest.init.pid);
  await tracer.step("network", connectGuest(layout.interface, guest.init.pid, state.network));
  guest.go();
  const died = guest.ended.then((how) => {
    throw new NacreError("guest", `the guest ended with ${how} before its agent listened`);
  });
  died.catch(() => {});
  await tracer.step("guest", Promise.race([waitForSocket(portSocket(layout, AGENT_PORT), signal), died]));
  return {
    ended: guest.ended,
    askToPowerOff: async () => {
      sendSignal(guest.init, "SIGTERM");
      await Promise.resolve();
    },
    close: () => multiplexer.close(),
  };
}
