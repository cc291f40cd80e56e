import { mkdtempSync, rmSync } from "node:fs";
import { resolve } from "node:path";

import { AgentService, fromJson, Health, Hypervisor } from "@nacre/protocols";
import { TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";

import { createVmBody, HypervisorProcess } from "../fixtures/hypervisor.ts";
import { KataNode, nodePrograms } from "../fixtures/kata-node.ts";
import { createContainerBody, createSandboxBody } from "../fixtures/pod.ts";
import { busyboxImage } from "../fixtures/registry.ts";
import { missing } from "./containers.ts";
import { type BenchRow, median } from "./row.ts";

const ROUNDS = 7;
/** The built command, as a user runs it. */
const NACRE = [process.execPath, resolve(import.meta.dirname, "../../packages/cli/bin/nacre.js")];
const { CreateVM, StartVM, StopVM } = Hypervisor.methods;
const { CreateContainer, CreateSandbox, GetGuestDetails, StartContainer } = AgentService.methods;

/** A pod's sandbox as a Kata runtime makes it: from CreateVM to the pause container that runs. */
export async function benchHypervisor(): Promise<BenchRow[]> {
  // Sockets have short names only: not below the system's temporary folder.
  const stateRoot = mkdtempSync("/run/nacre-bench-");
  const server = await HypervisorProcess.start(stateRoot, [], NACRE);
  const whole: number[] = [];
  const machine: number[] = [];
  try {
    // The first one reads programs that no guest has read yet.
    for (let round = -1; round < ROUNDS; round += 1) {
      const id = `bench-${round + 1}`;
      const begin = performance.now();
      const { agentSocketPath } = await server.call(CreateVM, createVmBody(id));
      await server.call(StartVM, { id });
      const started = performance.now();
      await runSandbox(agentSocketPath, id);
      if (round >= 0) {
        machine.push(started - begin);
        whole.push(performance.now() - begin);
      }
      await server.call(StopVM, { id });
    }
  } finally {
    await server.close();
    rmSync(stateRoot, { recursive: true });
  }
  const note = "the Rust stack is not installed here; recorded with it, through a real shim: 2,415 ms";
  return [
    {
      ...missing("CreateVM and StartVM of a simulated guest", median(machine), 0, "ms", note),
      target: "reported",
      met: null,
    },
    missing("a pod's sandbox through the remote hypervisor", median(whole), 1200, "ms", note),
  ];
}

/** `crictl runp` of an unchanged Kata runtime, from the call to a sandbox that is ready: `make test-kata` has the same node. */
export async function benchKataNode(): Promise<BenchRow[]> {
  const name = "RunPodSandbox through a real Kata shim";
  const programs = nodePrograms();
  if (typeof programs === "string") {
    return [{ ...missing(name, 0, 1200, "ms", `not there: ${programs}`), ours: null, met: null }];
  }
  const start: number[] = [];
  const stop: number[] = [];
  await using node = await KataNode.start(
    programs,
    async (registry) => void (await busyboxImage(registry, "pause:1")),
    NACRE,
  );
  for (let round = -1; round < ROUNDS; round += 1) {
    const begin = performance.now();
    const pod = await node.runPod(`bench-${round + 1}`);
    const ready = performance.now();
    await node.crictl("stopp", pod.id);
    if (round >= 0) {
      start.push(ready - begin);
      stop.push(performance.now() - ready);
    }
    await node.crictl("rmp", pod.id);
  }
  const note =
    "crictl, containerd, an unchanged shim; recorded with the Rust agent and components: 2,415 ms, and 2.0 s to stop";
  return [
    missing(name, median(start), 1200, "ms", note),
    { ...missing("StopPodSandbox through it", median(stop), 0, "ms", note), target: "reported", met: null },
  ];
}

async function runSandbox(socket: string, id: string): Promise<void> {
  const client = new TtrpcClient(await dial(`unix://${socket}`));
  try {
    await client.call(Health.methods.Check, {});
    await client.call(CreateSandbox, fromJson("grpc.CreateSandboxRequest", createSandboxBody(id, id)));
    await client.call(GetGuestDetails, { mem_block_size: true, mem_hotplug_probe: true });
    const pause = createContainerBody({ id, sandboxId: id, image: "pause", args: ["/pause"] });
    await client.call(CreateContainer, fromJson("grpc.CreateContainerRequest", pause));
    await client.call(StartContainer, { container_id: id });
  } finally {
    client.close();
  }
}
