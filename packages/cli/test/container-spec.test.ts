import { AgentService } from "@nacre/protocols";
import { describe, expect, it } from "vitest";
import { containerRequest, sandboxRequest } from "../src/container-spec.ts";

const SANDBOX = "a".repeat(64);
const ID = "b".repeat(64);
const PROCESS = { Args: ["sh"], Cwd: "/" };
const container = containerRequest({
  id: ID,
  sandboxId: SANDBOX,
  name: "web",
  image: "r.example/app:1",
  process: PROCESS,
});
const pause = containerRequest({ id: SANDBOX, sandboxId: SANDBOX, name: "pause", image: "pause", process: PROCESS });

describe("containerRequest", () => {
  it("lets the guest pull the image under the same words as the annotations", () => {
    const [storage] = container.storages ?? [];
    expect(storage).toMatchObject({
      driver: "image_guest_pull",
      source: "r.example/app:1",
      mount_point: `/run/kata-containers/${ID}/rootfs`,
    });
    const option = storage?.driver_options?.[0] ?? "";
    expect(option).toMatch(/^image_guest_pull=/u);
    const { metadata } = JSON.parse(option.slice("image_guest_pull=".length)) as { metadata: Record<string, string> };
    expect(metadata).toEqual(container.OCI?.Annotations);
    expect(metadata).toMatchObject({
      "io.kubernetes.cri.container-type": "container",
      "io.kubernetes.cri.image-name": "r.example/app:1",
      "io.kubernetes.cri.sandbox-id": SANDBOX,
    });
  });

  it("says of the pause container that it is the sandbox", () => {
    expect(pause.OCI?.Annotations).toMatchObject({ "io.kubernetes.cri.container-type": "sandbox" });
    expect(pause.OCI?.Annotations).not.toHaveProperty("io.kubernetes.cri.image-name");
    expect(pause.OCI?.Root?.Readonly).toBe(true);
  });

  it("has containerd's mounts and hidden paths", () => {
    expect(container.OCI?.Mounts?.map(({ destination }) => destination)).toEqual([
      "/proc",
      "/dev",
      "/dev/pts",
      "/dev/mqueue",
      "/sys",
      "/sys/fs/cgroup",
      "/dev/shm",
    ]);
    expect(container.OCI?.Linux?.MaskedPaths).toContain("/proc/kcore");
    expect(container.OCI?.Linux?.ReadonlyPaths).toContain("/proc/sys");
  });

  it("goes over the wire and back", () => {
    const { CreateContainer, CreateSandbox } = AgentService.methods;
    const decoded = CreateContainer.decodeRequest(CreateContainer.encodeRequest(container));
    expect(decoded.OCI?.Process?.Args).toEqual(["sh"]);
    expect(decoded.OCI?.Linux?.Resources?.CPU?.Shares).toBe(1024n);
    const sandbox = CreateSandbox.decodeRequest(CreateSandbox.encodeRequest(sandboxRequest(SANDBOX, "host")));
    expect(sandbox).toMatchObject({ sandbox_id: SANDBOX, hostname: "host" });
    // The mount that each container gets of the sandbox's storage.
    expect(decoded.OCI?.Mounts.at(-1)?.source).toBe(sandbox.storages[0]?.mount_point);
  });
});
