import { AgentService, fromJson } from "@nacre/protocols";
import { TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";
import { createContainerBody, createSandboxBody } from "../fixtures/pod.ts";
import { startTestGuest } from "../fixtures/test-guest.ts";
import { missing } from "./containers.ts";
import { type BenchRow, median } from "./row.ts";

const ROUNDS = 7;
const { CreateContainer, CreateSandbox, RemoveContainer } = AgentService.methods;

/** CreateContainer with a guest pull of busybox inside it, as a Kata runtime waits for it. */
export async function benchGuest(): Promise<BenchRow[]> {
  const first: number[] = [];
  const again: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    // A fresh guest each time: the pull must find nothing in its store.
    const guest = await startTestGuest({ policy: "allow-all" });
    try {
      const client = new TtrpcClient(await dial(guest.agentAddress, {}));
      await client.call(CreateSandbox, fromJson("grpc.CreateSandboxRequest", createSandboxBody("bench", "bench")));
      for (const times of [first, again]) {
        const id = `pull-${times === first ? "first" : "again"}`;
        const body = createContainerBody({ id, sandboxId: "bench", image: guest.image, args: ["true"] });
        const request = fromJson("grpc.CreateContainerRequest", body);
        const begin = performance.now();
        await client.call(CreateContainer, request);
        times.push(performance.now() - begin);
        await client.call(RemoveContainer, { container_id: id });
      }
      client.close();
    } finally {
      await guest.stop();
    }
  }
  const note = "the Rust agent and hub are not installed here; the bound is 1.5 times their recorded 152 ms";
  return [
    missing("CreateContainer with a first guest pull of busybox", median(first), 228, "ms", note),
    missing("CreateContainer with the image in the store", median(again), 228, "ms", note),
  ];
}
