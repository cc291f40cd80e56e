import { PULLED_IMAGE_RULE, ruleName } from "@nacre/agent-policy";
import { execRequest, type PodContainer, type PolicyOptions } from "@nacre/genpolicy";
import { AgentService, type grpc, type Init, type MethodDescriptor } from "@nacre/protocols";
import { describe, expect, it } from "vitest";

import { PODS, PolicedPod, podManifest } from "../fixtures/generated-pod.ts";
import type { Mutation } from "../fixtures/mutations.ts";

const { CopyFile, CreateContainer, CreateSandbox, ExecProcess, RemoveContainer } = AgentService.methods;

/** Lists of what a request has none of, each with something in it. */
function added(request: grpc.CreateContainerRequest): readonly Mutation[] {
  const { OCI } = request;
  if (OCI?.Linux == null || OCI.Process === null) throw new Error("not a whole request");
  const { Linux, Process } = OCI;
  const whole = (init: Init<grpc.CreateContainerRequest>): grpc.CreateContainerRequest =>
    CreateContainer.decodeRequest(CreateContainer.encodeRequest(init));
  const linux = (what: string, more: Init<grpc.Linux>): Mutation => ({
    path: `OCI.Linux.${what}`,
    what: "added",
    request: whole({ ...request, OCI: { ...OCI, Linux: { ...Linux, ...more } } }),
  });
  const sent = (path: string, more: Init<grpc.CreateContainerRequest>): Mutation => ({
    path,
    what: "added",
    request: whole({ ...request, ...more }),
  });
  const mount = { destination: "/etc", type: "bind", source: "/run", options: ["rbind"] };
  return [
    linux("Devices", { Devices: [{ Path: "/dev/mem", Type: "c", Major: 1n, Minor: 1n }] }),
    linux("UIDMappings", { UIDMappings: [{ HostID: 0, ContainerID: 0, Size: 1 }] }),
    linux("GIDMappings", { GIDMappings: [{ HostID: 0, ContainerID: 0, Size: 1 }] }),
    linux("Sysctl", { Sysctl: { ...Linux.Sysctl, "net.ipv4.ip_forward": "1" } }),
    linux("Namespaces", { Namespaces: [...Linux.Namespaces, { Type: "user", Path: "" }] }),
    linux("MaskedPaths", { MaskedPaths: [...Linux.MaskedPaths, "/etc/ssl"] }),
    sent("devices", { devices: [{ id: "x", type: "blk", container_path: "/dev/x" }] }),
    sent("shared_mounts", { shared_mounts: [{ name: "x", src_path: "/", dst_path: "/x" }] }),
    sent("OCI.Mounts", { OCI: { ...OCI, Mounts: [...OCI.Mounts, mount] } }),
    sent("OCI.Mounts first", { OCI: { ...OCI, Mounts: [mount, ...OCI.Mounts] } }),
    sent("OCI.Annotations", {
      OCI: { ...OCI, Annotations: { ...OCI.Annotations, "cdi.k8s.io/x": "nvidia.com/gpu=0" } },
    }),
    sent("OCI.Process.Rlimits", {
      OCI: { ...OCI, Process: { ...Process, Rlimits: [{ Type: "RLIMIT_NOFILE", Hard: 1n, Soft: 1n }] } },
    }),
    sent("storages", {
      storages: [...request.storages, { driver: "local", source: "local", mount_point: "/run/kata-containers/x" }],
    }),
  ];
}

describe.each(PODS)("the policy of %s", (name) => {
  it("allows what a host asks for this pod, and each container again after its end", async () => {
    const policed = await PolicedPod.of(podManifest(name));
    await policed.begin();
    for (let round = 0; round < 2; round += 1) {
      for (const container of policed.pod.containers) {
        const id = await policed.start(policed.requests(container.name));
        for (const command of container.exec) {
          const process = (policed.requests(container.name).create.OCI as grpc.Spec).Process;
          await policed.must(ExecProcess, {
            container_id: id,
            exec_id: "e",
            process: { ...process, Args: command, Terminal: false, Capabilities: null },
          });
        }
        await policed.must(AgentService.methods.SignalProcess, { container_id: id, signal: 15 });
        await policed.must(AgentService.methods.WaitProcess, { container_id: id });
        await policed.must(AgentService.methods.RemoveContainer, { container_id: id });
      }
    }
  });

  it("refuses what a request has none of", async () => {
    const policed = await PolicedPod.of(podManifest(name));
    await policed.must(CreateSandbox, policed.sandbox);
    const through: string[] = [];
    for (const container of ["", ...policed.pod.containers.map((one) => one.name)]) {
      const requests = policed.requests(container);
      const whole = CreateContainer.decodeRequest(CreateContainer.encodeRequest(requests.create));
      for (const { path, request } of added(whole)) {
        if (container === "" && path === "OCI.Process.Rlimits") continue;
        if (await policed.ask(CreateContainer, request)) through.push(`${container} ${path}`);
      }
      await policed.start(requests);
      if (container !== "") await policed.engine.forget(requests.id);
    }
    expect(through).toEqual([]);
  });
});

/** One pod, begun, with its containers by name once they have been started. */
async function begun(options: PolicyOptions = {}): Promise<PolicedPod> {
  const policed = await PolicedPod.of(podManifest("multi"), options);
  await policed.begin();
  return policed;
}

const IMAGE = `sha256:${"a".repeat(64)}`;

describe("a host cannot", () => {
  const pulled = async (policed: PolicedPod, container_id: string, image: string, manifest_digest: string | null) => {
    const input = JSON.stringify({
      container_id,
      image,
      manifest_digest,
      index_digest: null,
      config_digest: null,
      diff_ids: [],
    });
    return (await policed.engine.check(PULLED_IMAGE_RULE, input, { container: container_id })).allowed;
  };

  it("make a sandbox of its own, or another one", async () => {
    const policed = await PolicedPod.of(podManifest("multi"));
    const { sandbox } = policed;
    expect(await policed.ask(CreateSandbox, { ...sandbox, sandbox_id: "x" })).toBe(false);
    expect(await policed.ask(CreateSandbox, { ...sandbox, hostname: "other" })).toBe(false);
    await policed.must(CreateSandbox, sandbox);
    expect(await policed.ask(CreateSandbox, { ...sandbox, sandbox_id: "b".repeat(64) })).toBe(false);
    await policed.start(policed.requests(""));
    expect(await policed.ask(CreateSandbox, sandbox)).toBe(false);
  });

  it("start containers in another order, before the init containers have ended, or twice", async () => {
    const policed = await begun();
    expect(await policed.ask(CreateContainer, policed.requests("app").create)).toBe(false);
    const prepare = await policed.start(policed.requests("prepare"));
    expect(await policed.ask(CreateContainer, policed.requests("app").create)).toBe(false);
    await policed.must(RemoveContainer, { container_id: prepare });
    const app = await policed.start(policed.requests("app"));
    expect(await policed.ask(CreateContainer, policed.requests("app").create)).toBe(false);
    // An init container does not run again beside the others; when they have ended, it may.
    expect(await policed.ask(CreateContainer, policed.requests("prepare").create)).toBe(false);
    await policed.must(RemoveContainer, { container_id: app });
    expect(await policed.ask(CreateContainer, policed.requests("prepare").create)).toBe(true);
    expect(
      await policed.ask(CreateContainer, {
        ...policed.requests("sidecar").create,
        container_id: policed.host.sandboxId,
      }),
    ).toBe(false);
  });

  it("begin a container of another pod, or without the sandbox's own", async () => {
    const policed = await PolicedPod.of(podManifest("job"));
    await policed.must(CreateSandbox, policed.sandbox);
    expect(await policed.ask(CreateContainer, policed.requests("pi").create)).toBe(false);
    await policed.start(policed.requests(""));
    const { create } = policed.requests("pi");
    const OCI = create.OCI as grpc.Spec;
    const other = { ...OCI.Annotations, "io.kubernetes.cri.sandbox-name": "pi-zzzzz" };
    expect(await policed.ask(CreateContainer, { ...create, OCI: { ...OCI, Annotations: other } })).toBe(false);
  });

  it("give a container another image than its own, whatever it is called", async () => {
    const policed = await begun();
    const { id, create, copies } = policed.requests("prepare");
    const [pull] = create.storages ?? [];
    expect(await policed.ask(CreateContainer, { ...create, storages: [{ ...pull, source: "app:2" }] })).toBe(false);
    expect(
      await policed.ask(CreateContainer, {
        ...create,
        storages: [...(create.storages ?? []), { ...pull, mount_point: "/run/kata-containers/x" }],
      }),
    ).toBe(false);
    expect(await policed.ask(CreateContainer, { ...create, storages: create.storages?.slice(1) ?? [] })).toBe(false);
    await policed.start({ id, create, copies });
    expect(await pulled(policed, id, "tool:1", IMAGE)).toBe(true);
    expect(await pulled(policed, id, "app:2", IMAGE)).toBe(false);
    expect(await pulled(policed, id, "tool:1", `sha256:${"b".repeat(64)}`)).toBe(false);
    expect(await pulled(policed, id, "tool:1", null)).toBe(false);
    expect(await pulled(policed, "c".repeat(64), "tool:1", IMAGE)).toBe(false);
    expect(await pulled(policed, policed.host.sandboxId, "tool:1", IMAGE)).toBe(false);
  });

  it("run a command of one container in another, or before there is one", async () => {
    const policed = await begun({ exec: [["id"]] });
    const prepare = await policed.start(policed.requests("prepare"));
    await policed.must(RemoveContainer, { container_id: prepare });
    const app = await policed.start(policed.requests("app"));
    const sidecar = await policed.start(policed.requests("sidecar"));
    const container = (name: string): PodContainer => {
      const found = policed.pod.containers.find((one) => one.name === name);
      if (found === undefined) throw new Error(name);
      return found;
    };
    const asks = (of: string, id: string, args: readonly string[]) =>
      policed.ask(ExecProcess, execRequest(container(of), policed.pod, policed.host, { id, args }));
    const probe = ["test", "-e", "/shared/ready"];
    expect(await asks("app", app, probe)).toBe(true);
    expect(await asks("sidecar", sidecar, probe)).toBe(false);
    expect(await asks("sidecar", sidecar, ["id"])).toBe(true);
    // The other's environment and directory come along.
    expect(await asks("app", sidecar, ["id"])).toBe(false);
    for (const id of [prepare, policed.host.sandboxId, "d".repeat(64), "sandbox", "begun", ""]) {
      expect(await asks("app", id, probe)).toBe(false);
    }
  });

  it.each([
    ["another folder", "/etc/passwd"],
    ["a name that no mount has", `/run/kata-containers/shared/containers/${"a".repeat(64)}-${"b".repeat(16)}-shadow`],
    ["a folder of the guest's", `/run/kata-containers/shared/containers/${"a".repeat(64)}/rootfs/local/shared/x`],
    ["a way up", `/run/kata-containers/shared/containers/${"a".repeat(64)}-${"b".repeat(16)}-hosts/../x`],
    ["a way up at the end", `/run/kata-containers/shared/containers/${"a".repeat(64)}-${"b".repeat(16)}-hosts/..`],
    [
      "a folder that is this one",
      `/run/kata-containers/shared/containers/${"a".repeat(64)}-${"b".repeat(16)}-hosts/./x`,
    ],
  ])("write a file into %s", async (_, path) => {
    const policed = await begun();
    for (const file_mode of [0o100644, 0o040755]) expect(await policed.ask(CopyFile, { path, file_mode })).toBe(false);
  });

  it("lay links that lead out of a volume, nor devices", async () => {
    const policed = await begun();
    const path = `/run/kata-containers/shared/containers/${"a".repeat(64)}-${"b".repeat(16)}-hosts/x`;
    const link = (target: string) => policed.ask(CopyFile, { path, file_mode: 0o120777, data: Buffer.from(target) });
    expect(await link("..data/x")).toBe(true);
    for (const target of ["/etc/passwd", "..", "../x", "a/../../x", "./x"]) expect(await link(target)).toBe(false);
    for (const type of [0o020644, 0o060644, 0o010644, 0o140644, 0]) {
      expect(await policed.ask(CopyFile, { path, file_mode: type })).toBe(false);
    }
  });

  it("touch the loopback", async () => {
    const policed = await begun();
    const { AddARPNeighbors, UpdateInterface, UpdateRoutes } = AgentService.methods;
    const card = { device: "eth0", name: "eth0", IPAddresses: [{ address: "10.0.0.2", mask: "24" }] };
    expect(await policed.ask(UpdateInterface, { interface: card })).toBe(true);
    for (const change of [{ name: "lo" }, { device: "lo" }, { name: "" }, { name: "../x" }]) {
      expect(await policed.ask(UpdateInterface, { interface: { ...card, ...change } })).toBe(false);
    }
    for (const hwAddr of ["", "02:00:00:00:00:01", "00:00:00:00:00:0A"]) {
      expect(await policed.ask(UpdateInterface, { interface: { ...card, hwAddr } })).toBe(true);
    }
    for (const hwAddr of ["00:00:00:00:00:00", "0:0:0:0:0:0", "+0:00:00:00:00:00", "000:00:00:00:00:00", "x"]) {
      expect(await policed.ask(UpdateInterface, { interface: { ...card, hwAddr } })).toBe(false);
    }
    for (const address of ["127.0.0.1", "127.9.9.9", "::1", "0:0::1", "::ffff:127.0.0.1", "::FFFF:7f00:1"]) {
      expect(
        await policed.ask(UpdateInterface, { interface: { ...card, IPAddresses: [{ address, mask: "8" }] } }),
      ).toBe(false);
      expect(await policed.ask(UpdateRoutes, { routes: { Routes: [{ dest: `${address}/8`, device: "eth0" }] } })).toBe(
        false,
      );
      expect(await policed.ask(UpdateRoutes, { routes: { Routes: [{ gateway: address, device: "eth0" }] } })).toBe(
        false,
      );
      const neighbour = { toIPAddress: { address }, device: "eth0", lladdr: "02:00:00:00:00:01" };
      expect(await policed.ask(AddARPNeighbors, { neighbors: { ARPNeighbors: [neighbour] } })).toBe(false);
    }
    expect(await policed.ask(UpdateRoutes, { routes: { Routes: [{ dest: "10.0.0.0/8", device: "lo" }] } })).toBe(false);
    expect(await policed.ask(UpdateRoutes, {})).toBe(false);
  });

  it("write to a process that takes no input, or read what the owner does not show", async () => {
    const { CloseStdin, ReadStdout, WriteStdin } = AgentService.methods;
    for (const options of [{}, { logs: true, execStdin: true }]) {
      const policed = await begun(options);
      const id = await policed.start(policed.requests("prepare"));
      const open = "logs" in options;
      const own = { container_id: id, exec_id: id };
      const command = { container_id: id, exec_id: "e" };
      for (const method of [WriteStdin, CloseStdin] as const) {
        expect(await policed.ask(method, own)).toBe(false);
        expect(await policed.ask(method, command)).toBe(open);
      }
      expect(await policed.ask(ReadStdout, own)).toBe(open);
      expect(await policed.ask(ReadStdout, { ...own, container_id: "e".repeat(64) })).toBe(false);
    }
  });

  it("name a container's own process as a command's, or not at all", async () => {
    const { WriteStdin } = AgentService.methods;
    const policed = await begun({ execStdin: true });
    const { id, create, copies } = policed.requests("prepare");
    for (const exec_id of ["x", "", policed.host.sandboxId]) {
      expect(await policed.ask(CreateContainer, { ...create, exec_id })).toBe(false);
    }
    await policed.start({ id, create, copies });
    expect(await policed.ask(WriteStdin, { container_id: id, exec_id: id })).toBe(false);
    const sandbox = await PolicedPod.of(podManifest("multi"), { execStdin: true });
    await sandbox.must(CreateSandbox, sandbox.sandbox);
    expect(await sandbox.ask(CreateContainer, { ...sandbox.requests("").create, exec_id: "x" })).toBe(false);
  });

  it("ask for anything that no pod needs", async () => {
    const policed = await begun();
    const needed = new Set([
      ...policed.lifetime().map(({ rule }) => rule),
      "CloseStdinRequest",
      "ReadStreamRequest",
      "TtyWinResizeRequest",
      "WriteStreamRequest",
      "OnlineCPUMemRequest",
    ]);
    const allowed: string[] = [];
    for (const method of Object.values(AgentService.methods) as ReadonlyArray<MethodDescriptor<object, object>>) {
      if (!needed.has(ruleName(method)) && (await policed.ask(method, {}))) allowed.push(method.name);
    }
    expect(allowed).toEqual([]);
  });
});
