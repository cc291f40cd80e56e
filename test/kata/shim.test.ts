import { existsSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import { formatInitdata } from "@nacre/kbs-protocol";
import { listGuests } from "@nacre/cli";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { KataNode, NODE_REGISTRY, nodePrograms } from "../fixtures/kata-node.ts";
import { cgroupsWith, processesWith } from "../fixtures/machine-facts.ts";
import { NETWORK_POLICY, POD_POLICY } from "../fixtures/pod-plan.ts";
import { busyboxImage } from "../fixtures/registry.ts";

const IMAGE = `${NODE_REGISTRY}/busybox:1`;
const CC_INIT_DATA = "io.katacontainers.config.hypervisor.cc_init_data";

let node: KataNode;
beforeAll(async () => {
  const programs = nodePrograms();
  if (typeof programs === "string") throw new Error(`expected ${programs}`);
  node = await KataNode.start(programs, async (registry) => {
    await busyboxImage(registry, "busybox:1");
    await busyboxImage(registry, "pause:1");
  });
  await node.crictl("pull", IMAGE);
});
afterAll(async () => {
  await node?.[Symbol.asyncDispose]();
});

describe("an unchanged Kata runtime", () => {
  it("runs two pods side by side, in a guest each, and leaves nothing", async () => {
    const pods = await Promise.all([node.runPod("one"), node.runPod("two")]);
    const containers = await Promise.all(
      pods.map((pod, index) => node.runContainer(pod, "work", IMAGE, `echo pod ${index}; exec sleep 1000`)),
    );
    expect(listGuests(node.folder)).toHaveLength(2);
    for (const [index, id] of containers.entries()) {
      expect(await node.crictl("exec", id, "cat", "/proc/1/cmdline")).toContain("sleep");
      expect(await node.crictl("logs", id)).toBe(`pod ${index}`);
      const { stats } = JSON.parse(await node.crictl("stats", "--id", id, "-o", "json")) as {
        stats: readonly { memory: { workingSetBytes: { value: string } } }[];
      };
      expect(Number(stats[0]?.memory.workingSetBytes.value)).toBeGreaterThan(0);
    }
    expect(await node.crictl("exec", containers[0] ?? "", "hostname")).toBe("one");
    for (const pod of pods) await node.removePod(pod);

    expect(listGuests(node.folder)).toEqual([]);
    expect(processesWith("containerd-shim-kata-v2").filter((line) => pods.some(({ id }) => line.includes(id)))).toEqual(
      [],
    );
    for (const { id } of pods) {
      expect(existsSync(join("/run/vc/sbs", id))).toBe(false);
      expect(cgroupsWith(id)).toEqual([]);
    }
  });

  it("tells crictl why a process is not started that the pod's own policy does not name", async () => {
    const policy = `${POD_POLICY}${NETWORK_POLICY}
default CopyFileRequest := true
default StatsContainerRequest := true
default UpdateContainerRequest := true
`;
    const document = formatInitdata({ algorithm: "sha256", data: new Map([["policy.rego", policy]]) });
    const pod = await node.runPod("closed", { [CC_INIT_DATA]: gzipSync(document).toString("base64") });
    try {
      const id = await node.runContainer(pod, "work", IMAGE, "echo runs; exec sleep 1000");
      expect(await node.crictl("logs", id)).toBe("runs");
      await expect(node.crictl("exec", id, "true")).rejects.toThrow("ExecProcessRequest is blocked by policy");
    } finally {
      await node.removePod(pod);
    }
  });

  it("reports the status of a container that ended, and ends a guest whose shim was killed", async () => {
    const pod = await node.runPod("ends");
    const id = await node.runContainer(pod, "work", IMAGE, "exit 7");
    const state = async (): Promise<{ state: string; exitCode: number }> => {
      const { status } = JSON.parse(await node.crictl("inspect", id)) as {
        status: { state: string; exitCode: number };
      };
      return status;
    };
    while ((await state()).state === "CONTAINER_RUNNING") await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await state()).toMatchObject({ state: "CONTAINER_EXITED", exitCode: 7 });

    const [line = ""] = processesWith(pod.id).filter((text) => text.includes("containerd-shim-kata-v2"));
    process.kill(Number(line.split(" ")[0]), "SIGKILL");
    await node.server.shows("dropped", pod.id);
    expect(listGuests(node.folder)).toEqual([]);
    await node.removePod(pod);
  });
});
