import { AgentService, type grpc, type Init } from "@nacre/protocols";
import { describe, expect, it } from "vitest";

import { PODS, PolicedPod, podManifest } from "../fixtures/generated-pod.ts";
import { type Mutation, mutations } from "../fixtures/mutations.ts";
import { seeded } from "../fixtures/seeded.ts";

const { CopyFile, CreateContainer, CreateSandbox, ExecProcess, StartContainer } = AgentService.methods;

/** How many changes of a request are tried; `NACRE_MUTATIONS=all` tries every one. */
const SAMPLE: number = process.env["NACRE_MUTATIONS"] === "all" ? Infinity : 150;
const SEED = 20_261_125;

/** Changes that do not change what runs, each with the reason. */
const HARMLESS: ReadonlyArray<readonly [path: RegExp, what: RegExp, reason: string]> = [
  [/^exec_id$/u, /./u, "a first process has its container's id"],
  [/^OCI\.Version$/u, /./u, "the agent writes its own"],
  [/^OCI\.Hostname$/u, /^""$/u, "the sandbox has it already"],
  [/^OCI\.Process\.OOMScoreAdj$/u, /./u, "memory is the host's to give"],
  [/^OCI\.Process\.ConsoleSize/u, /./u, "a terminal's size"],
  [/^OCI\.Linux\.Resources/u, /./u, "processors and memory are the host's to give"],
  [/\.(?:Bounding|Effective|Permitted|AdditionalGids|MaskedPaths|ReadonlyPaths|Env)$/u, /changed$/u, "a set"],
  [/\.(?:Bounding|Effective|Permitted|AdditionalGids|MaskedPaths|ReadonlyPaths)$/u, /twice$/u, "a set"],
  [/^OCI\.Linux\.Namespaces$/u, /changed$/u, "a set"],
  [/^OCI\.Mounts$/u, /changed$/u, "neither is below the other"],
  [/^OCI\.Mounts$/u, /twice$/u, "the same mount again, above nothing else"],
  [/^OCI\.Mounts$/u, /^without \d+$/u, "the sandbox's resolv.conf and a token are not needed"],
  [/^storages$/u, /changed$/u, "one does not need the other"],
  [/^storages\[\d+\]\.options$/u, /(?:changed|twice)$/u, "a set"],
  [/^storages\[\d+\]\.driver_options\[0\]$/u, /\\n"$/u, "JSON with a space behind it"],
  [/^OCI\.Linux\.CgroupsPath$/u, /^"x/u, "any name that ends with the container's"],
  [/^OCI\.Process\.Env\[/u, /^"(?:NODE|ORDINAL_LABEL|POD_IP|ADVERTISE)=/u, "a cluster fills them in"],
  [/^dns/u, /./u, "names of the network are the host's"],
];
const SANDBOX_PROCESS = /^OCI\.Process\b/u;

const EMPTY: Readonly<Record<string, object>> = Object.fromEntries(
  Object.entries({
    string_user: { string_user: {} },
    "OCI.Hooks": { OCI: { Hooks: { Prestart: [{ Path: "/bin/sh" }] } } },
    "OCI.Solaris": { OCI: { Solaris: {} } },
    "OCI.Windows": { OCI: { Windows: {} } },
    "OCI.Linux.Seccomp": { OCI: { Linux: { Seccomp: { DefaultAction: "SCMP_ACT_ERRNO" } } } },
    "OCI.Linux.IntelRdt": { OCI: { Linux: { IntelRdt: {} } } },
    "storages[].fs_group": { storages: [{ fs_group: { group_id: 5 } }] },
  } satisfies Record<string, Init<grpc.CreateContainerRequest>>).map(([path, init]) => {
    const whole = CreateContainer.decodeRequest(CreateContainer.encodeRequest(init)) as unknown;
    const at = path.split(/\.|\[\]\./u).reduce<unknown>((value, key) => {
      const one = Array.isArray(value) ? (value[0] as unknown) : value;
      return (one as Readonly<Record<string, unknown>>)[key];
    }, whole);
    return [path, at as object];
  }),
);

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

function sample(all: readonly Mutation[], salt: number): readonly Mutation[] {
  const random = seeded(SEED + salt);
  const rest = [...all];
  const taken: Mutation[] = [];
  while (taken.length < SAMPLE && rest.length > 0) taken.push(...rest.splice(random(rest.length), 1));
  return taken;
}

function harmless(path: string, what: string): boolean {
  return HARMLESS.some(([paths, whats]) => paths.test(path) && whats.test(what));
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

  it("refuses every change of a request that changes what runs", async () => {
    const policed = await PolicedPod.of(podManifest(name));
    const through: string[] = [];
    let tried = 0;
    const attack = async (salt: number, whole: grpc.CreateContainerRequest): Promise<void> => {
      for (const { path, what, request } of [
        ...sample(
          mutations(whole, (at) => EMPTY[at]),
          salt,
        ),
        ...added(whole),
      ]) {
        tried += 1;
        const asked = request as grpc.CreateContainerRequest;
        if (!(await policed.ask(CreateContainer, asked))) continue;
        await policed.engine.forget(asked.container_id);
        if (harmless(path, what)) continue;
        through.push(`${path}: ${what}`);
      }
    };
    const decoded = (init: Init<grpc.CreateContainerRequest>): grpc.CreateContainerRequest =>
      CreateContainer.decodeRequest(CreateContainer.encodeRequest(init));
    const sandbox = CreateSandbox.decodeRequest(CreateSandbox.encodeRequest(policed.sandbox));
    for (const { path, what, request } of mutations(sandbox, () => undefined)) {
      tried += 1;
      if ((await policed.ask(CreateSandbox, request)) && !harmless(path, what)) through.push(`${path}: ${what}`);
    }
    await policed.must(CreateSandbox, policed.sandbox);
    await policed.start(policed.requests(""));
    for (const [i, container] of policed.pod.containers.entries()) {
      const { create, copies, id } = policed.requests(container.name);
      await attack(i + 1, decoded(create));
      for (const { path, what, request } of copies.flatMap((copy) =>
        sample(
          mutations(CopyFile.decodeRequest(CopyFile.encodeRequest(copy)), () => undefined),
          i,
        ).slice(0, 20),
      )) {
        tried += 1;
        if (path === "path" && (await policed.ask(CopyFile, request))) {
          // Elsewhere in a volume of the pod's is no other place.
          const { path: to } = request as grpc.CopyFileRequest;
          if (/^\/run\/kata-containers\/shared\/containers\/[0-9a-f]{64}-[0-9a-f]{16}-[\w.-]+\//u.test(to)) continue;
          through.push(`copy ${path}: ${what}`);
        }
      }
      await policed.start({ id, copies: [], create });
      await policed.engine.forget(id);
    }
    expect(through).toEqual([]);
    expect(tried).toBeGreaterThan(100);
  });

  it("refuses changes of the sandbox's own container", async () => {
    const through: string[] = [];
    const policed = await PolicedPod.of(podManifest(name));
    await policed.must(CreateSandbox, policed.sandbox);
    const whole = CreateContainer.decodeRequest(CreateContainer.encodeRequest(policed.requests("").create));
    for (const { path, what, request } of [
      ...sample(
        mutations(whole, (at) => EMPTY[at]),
        99,
      ),
      ...added(whole),
    ]) {
      if (harmless(path, what) || SANDBOX_PROCESS.test(path)) continue;
      if (await policed.ask(CreateContainer, request)) through.push(`${path}: ${what}`);
    }
    expect(through).toEqual([]);
    expect(await policed.ask(StartContainer, { container_id: policed.host.sandboxId })).toBe(false);
  });
});
