import { AgentService, type grpc, type Init, type MethodDescriptor } from "@nacre/protocols";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { SHARED } from "../fixtures/attacked-guest.ts";
import { PolicedGuest, pushAttackedImages } from "../fixtures/policed-guest.ts";
import { type Create, pull } from "../fixtures/spoilt.ts";

const { methods } = AgentService;
const { CopyFile, CreateContainer, CreateSandbox, ExecProcess, RemoveContainer, SetPolicy, StartContainer } = methods;

const blocked = (rule: string): object => ({ code: 7, message: `"${rule} is blocked by policy: "` });
const DONE = { code: 0, message: "" };
const DIGITS = "0123456789abcdef";

describe("a pod that begins otherwise than its policy says", () => {
  let guest: PolicedGuest;
  beforeAll(async () => {
    guest = await PolicedGuest.open();
  });
  afterAll(() => guest[Symbol.asyncDispose]());

  const shm = (): grpc.Storage => {
    const [storage] = CreateSandbox.decodeRequest(CreateSandbox.encodeRequest(guest.pod.sandbox)).storages;
    if (storage === undefined) throw new Error("the sandbox has no storage");
    return storage;
  };

  it.each<[string, (id: string) => Init<grpc.CreateSandboxRequest>]>([
    ["hooks of the guest", () => ({ guest_hook_path: "/usr/share/oci/hooks" })],
    ["modules", () => ({ kernel_modules: [{ name: "evil", parameters: [] }] })],
    ["processes that all see", () => ({ sandbox_pidns: true })],
    ["another hostname", () => ({ hostname: "other" })],
    ["a path as its id", () => ({ sandbox_id: "../x" })],
    ["a line break in a name server", () => ({ dns: ["nameserver 127.0.0.1\noptions x\0"] })],
    ["no shared memory", () => ({ storages: [] })],
    ["shared memory elsewhere", () => ({ storages: [{ ...shm(), mount_point: "/run/kata-containers/sandbox/x" }] })],
    ["programs in shared memory", () => ({ storages: [{ ...shm(), options: ["mode=1777"] }] })],
    // confidential-dot-ai/c8s#236: a mount point that is known before the pull suppresses it
    [
      "a mount where a container's root will be",
      (id) => ({ storages: [shm(), { ...shm(), mount_point: `/run/kata-containers/${id}/rootfs` }] }),
    ],
    [
      "a pull for no container",
      (id) => ({
        storages: [shm(), { ...shm(), driver: "image_guest_pull", mount_point: `/run/kata-containers/${id}/rootfs` }],
      }),
    ],
  ])("with %s is refused", async (_, over) => {
    const request = { ...guest.pod.sandbox, ...over(guest.request("web").container_id) };
    expect(await guest.reply(CreateSandbox, request)).toEqual(blocked("CreateSandboxRequest"));
    expect(await guest.guest.names("/run/kata-containers")).toEqual([]);
  });

  it("has no container before the sandbox, and no other before the sandbox's own", async () => {
    for (const name of ["web", "prepare"] as const) {
      expect(await guest.reply(CreateContainer, guest.request(name))).toEqual(blocked("CreateContainerRequest"));
    }
    const pause = guest.pod.requests("");
    expect(await guest.reply(CreateContainer, pause.create)).toEqual(blocked("CreateContainerRequest"));
    await guest.must(CreateSandbox, guest.pod.sandbox);
    expect(await guest.reply(CreateContainer, guest.request("prepare"))).toEqual(blocked("CreateContainerRequest"));
    await guest.make(pause);
    await guest.must(StartContainer, { container_id: pause.id });
  });

  it("runs its init container to the end before all others", async () => {
    const early = async (): Promise<void> => {
      expect(await guest.reply(CreateContainer, guest.request("web"))).toEqual(blocked("CreateContainerRequest"));
    };
    await early();
    const prepare = guest.requests("prepare");
    expect(await guest.reply(StartContainer, { container_id: prepare.id })).toEqual(blocked("StartContainerRequest"));
    await early();
    await guest.make(prepare);
    await early();
    await guest.must(StartContainer, { container_id: prepare.id });
    await early();
    expect(await guest.end("prepare", prepare.id)).toContain("args prepare\n");
    expect(await guest.runToEnd("web")).toContain("args web --serve\n");
  });

  it("has one sandbox", async () => {
    expect(await guest.reply(CreateSandbox, guest.pod.sandbox)).toEqual(blocked("CreateSandboxRequest"));
    const other = { ...guest.pod.sandbox, sandbox_id: "f".repeat(64) };
    expect(await guest.reply(CreateSandbox, other)).toEqual(blocked("CreateSandboxRequest"));
    expect(await guest.runToEnd("web")).toContain("args web --serve\n");
  });
});

describe("a running pod", () => {
  let guest: Awaited<ReturnType<typeof PolicedGuest.start>>;
  let honest: string;
  let before: Record<string, string[]>;
  beforeAll(async () => {
    guest = await PolicedGuest.start();
    honest = await guest.runToEnd("web");
    before = await guest.guest.holdings();
  });
  afterAll(() => guest[Symbol.asyncDispose]());
  // Whatever was refused: the pod goes on as before.
  afterEach(async () => {
    expect(await guest.guest.holdings()).toEqual(before);
    expect(await guest.runToEnd("web")).toBe(honest);
    expect(await guest.runProbe("tool", guest.tool, probe())).toMatch(/^image tool\nargs tool-probe\n/u);
  });

  const probe = (): grpc.ExecProcessRequest => guest.probe("tool", guest.tool);

  describe("of containers that are one at a time", () => {
    it("does not run one twice", async () => {
      const first = guest.requests("web");
      await guest.make(first);
      expect(await guest.reply(CreateContainer, guest.request("web"))).toEqual(blocked("CreateContainerRequest"));
      expect(await guest.reply(CreateContainer, first.create)).toEqual(blocked("CreateContainerRequest"));
      await guest.must(StartContainer, { container_id: first.id });
      expect(await guest.reply(CreateContainer, guest.request("web"))).toEqual(blocked("CreateContainerRequest"));
      expect(await guest.end("web", first.id)).toBe(honest);
    });

    it("runs one of many that are asked for at once", async () => {
      for (let round = 0; round < 3; round += 1) {
        const all = Array.from({ length: 6 }, () => guest.requests("web"));
        for (const { copies } of all) for (const copy of copies) await guest.must(CopyFile, copy);
        const clients = await Promise.all([0, 1].map(() => guest.guest.connect()));
        const replies = await Promise.allSettled(
          all.map(({ create }, i) => (clients[i % 2] ?? guest.guest.rpc).call(CreateContainer, create)),
        );
        for (const client of clients) client.close();
        const made = all.filter((_, i) => replies[i]?.status === "fulfilled");
        expect(made).toHaveLength(1);
        for (const { id } of made) {
          await guest.must(StartContainer, { container_id: id });
          expect(await guest.end("web", id)).toBe(honest);
        }
      }
    });

    // A removal that removes nothing left the name and the id free in the policy while the container was on its way.
    it("does not free a name by removing what is still being made", async () => {
      const first = guest.requests("web");
      for (const copy of first.copies) await guest.must(CopyFile, copy);
      const making = guest.reply(CreateContainer, first.create);
      const removing = guest.reply(RemoveContainer, { container_id: first.id });
      const second = guest.reply(CreateContainer, guest.request("web"));
      const other = guest.reply(CreateContainer, guest.request("tool", first.id));
      expect(await removing).toMatchObject({ code: 13 });
      expect(await second).toEqual(blocked("CreateContainerRequest"));
      expect(await other).toEqual(blocked("CreateContainerRequest"));
      expect(await making).toEqual(DONE);
      await guest.must(StartContainer, { container_id: first.id });
      expect(await guest.end("web", first.id)).toBe(honest);
    });

    it("lets no container take another's place while that one goes", async () => {
      const id = await guest.run("web");
      const again = guest.requests("web", id);
      for (const copy of again.copies) await guest.must(CopyFile, copy);
      const removing = guest.reply(RemoveContainer, { container_id: id });
      const replies = await Promise.all(
        [guest.request("tool", id), again.create].map((request) => guest.reply(CreateContainer, request)),
      );
      expect(await removing).toEqual(DONE);
      expect(replies[0]).toEqual(blocked("CreateContainerRequest"));
      // It comes before the end of the other one, or after it.
      if (replies[1]?.code === 0) await guest.remove(id);
      else expect(replies[1]).toEqual(blocked("CreateContainerRequest"));
    });

    // kata-containers#13891: what the policy keeps of a container goes with it.
    it("gives an id that is free again only what its new container has", async () => {
      const id = await guest.run("web");
      await guest.remove(id);
      for (const [method, rule] of [
        [StartContainer, "StartContainerRequest"],
        [methods.SignalProcess, "SignalProcessRequest"],
      ] as ReadonlyArray<readonly [MethodDescriptor<object, object>, string]>) {
        expect(await guest.reply(method, { container_id: id, signal: 9 })).toEqual(blocked(rule));
      }
      expect(await guest.reply(ExecProcess, guest.probe("web", id))).toEqual(blocked("ExecProcessRequest"));
      expect(await guest.runToEnd("web", id)).toBe(honest);
    });

    it("does not run an init container beside the others", async () => {
      expect(await guest.reply(CreateContainer, guest.request("prepare"))).toEqual(blocked("CreateContainerRequest"));
    });

    it("starts nothing that was not made", async () => {
      for (const id of ["f".repeat(64), "sandbox", "pod", "begun", "__proto__", "", `${guest.tool}/`]) {
        expect(await guest.reply(StartContainer, { container_id: id }), id).toEqual(blocked("StartContainerRequest"));
      }
      expect(await guest.reply(StartContainer, { container_id: guest.tool })).toMatchObject({ code: 13 });
    });

    it("keeps its state when what is removed is not there", async () => {
      for (const id of [
        "f".repeat(64),
        "sandbox",
        "pod",
        "begun",
        "__proto__",
        "",
        "pod/name",
        "~1",
        `${guest.tool}/`,
      ]) {
        expect((await guest.reply(RemoveContainer, { container_id: id })).code, id).not.toBe(0);
      }
    });
  });

  describe("of images that are pinned", () => {
    // Design decision 3, kata-containers#11354, #10088, #13056.
    it.each([
      ["has been moved", { web: "evil" }],
      ["leads to the pod's other image", { web: "tool" }],
    ])("removes what it pulled where the tag %s", async (_, marks) => {
      const { registry } = guest.guest.guest;
      await pushAttackedImages(registry, marks);
      const request = guest.requests("web");
      for (const copy of request.copies) await guest.must(CopyFile, copy);
      expect(await guest.reply(CreateContainer, request.create)).toEqual(blocked("PulledImageRequest"));
      expect(await guest.guest.names(`/run/kata-containers/${request.id}`)).toEqual([]);
      expect(await guest.guest.holdings()).toEqual(before);
      expect(await guest.reply(StartContainer, { container_id: request.id })).toEqual(blocked("StartContainerRequest"));
      await pushAttackedImages(registry);
      expect(await guest.runToEnd("web", request.id)).toBe(honest);
    });

    it("does not run one under the other's name", async () => {
      const { registry } = guest.guest.guest;
      await pushAttackedImages(registry, { web: "tool", tool: "web" });
      expect(await guest.reply(CreateContainer, guest.request("web"))).toEqual(blocked("PulledImageRequest"));
      await pushAttackedImages(registry);
    });

    // kata-containers#9695: the same image twice in a pod.
    it("runs the same image for two containers", async () => {
      expect(await guest.report("prepare", guest.tool)).toMatch(/^image tool\nargs prepare\n/u);
      expect(await guest.runProbe("tool", guest.tool, probe())).toMatch(/^image tool\nargs tool-probe\n/u);
    });
  });

  describe("of commands that are named", () => {
    type Spoil = (request: grpc.ExecProcessRequest) => Init<grpc.ExecProcessRequest>;
    const process = (request: grpc.ExecProcessRequest, over: Partial<grpc.Process>) => {
      if (request.process === null) throw new Error("no process");
      return { ...request, process: { ...request.process, ...over } };
    };
    const capabilities: grpc.LinuxCapabilities = {
      Bounding: ["CAP_SYS_ADMIN"],
      Effective: ["CAP_SYS_ADMIN"],
      Permitted: ["CAP_SYS_ADMIN"],
      Inheritable: [],
      Ambient: [],
    };
    // kata-containers#8850: no command but those of the manifest.
    it.each<[string, Spoil]>([
      ["a shell", (r) => process(r, { Args: ["sh"] })],
      ["another command", (r) => process(r, { Args: ["report", "web"] })],
      ["the command of another container's probe", (r) => process(r, { Args: ["report", "web-probe"] })],
      ["the container's own command", (r) => process(r, { Args: ["sleep", "100000"] })],
      ["one argument more", (r) => process(r, { Args: [...(r.process?.Args ?? []), "x"] })],
      ["no arguments", (r) => process(r, { Args: [] })],
      ["no process", (r) => ({ ...r, process: null })],
      ["a terminal", (r) => process(r, { Terminal: true })],
      ["a library before all others", (r) => process(r, { Env: [...(r.process?.Env ?? []), "LD_PRELOAD=/x"] })],
      ["less environment", (r) => process(r, { Env: [] })],
      ["another folder", (r) => process(r, { Cwd: "/data" })],
      ["another user", (r) => process(r, { User: { UID: 1, GID: 0, AdditionalGids: [0], Username: "" } })],
      ["more capabilities", (r) => process(r, { Capabilities: capabilities })],
      ["no new privileges", (r) => process(r, { NoNewPrivileges: true })],
      ["a limit", (r) => process(r, { Rlimits: [{ Type: "RLIMIT_CORE", Hard: 1n, Soft: 1n }] })],
      ["a profile", (r) => process(r, { ApparmorProfile: "unconfined" })],
      ["a user beside the process", (r) => ({ ...r, string_user: { uid: "0", gid: "0", additionalGids: [] } })],
      ["streams of its own", (r) => ({ ...r, stdout_port: 5000 })],
      ["the sandbox's container", (r) => ({ ...r, container_id: guest.sandboxId })],
      ["a container that is not there", (r) => ({ ...r, container_id: "f".repeat(64) })],
      ["the policy's state", (r) => ({ ...r, container_id: "pod" })],
      ["a name of languages", (r) => ({ ...r, container_id: "__proto__" })],
      ["a path", (r) => ({ ...r, container_id: `${guest.tool}/x` })],
    ])("refuses an exec with %s", async (_, spoil) => {
      expect(await guest.reply(ExecProcess, spoil(probe()))).toEqual(blocked("ExecProcessRequest"));
    });

    it("refuses one container's command in the other", async () => {
      const web = guest.probe("web", guest.tool);
      expect(await guest.reply(ExecProcess, web)).toEqual(blocked("ExecProcessRequest"));
      const id = guest.requests("web").id;
      expect(await guest.reply(ExecProcess, guest.probe("web", id))).toEqual(blocked("ExecProcessRequest"));
    });

    it.each([1, 2, 3, 10, 11, 12, 18, 19, 64])("refuses the signal %i", async (signal) => {
      const request = { container_id: guest.tool, exec_id: guest.tool, signal };
      expect(await guest.reply(methods.SignalProcess, request)).toEqual(blocked("SignalProcessRequest"));
    });
  });

  describe("whose streams are its own", () => {
    // kata-containers#10680, #10818: emptied, not refused, or a container would stop at a full pipe.
    it("gives nothing of what it writes, and goes on", async () => {
      const id = await guest.run("web");
      const names = { container_id: id, exec_id: id };
      for (const method of [methods.ReadStdout, methods.ReadStderr]) {
        const { data } = await guest.guest.rpc.call(method, { ...names, len: 32_768 });
        expect(Buffer.from(data).toString()).toBe("");
      }
      expect(await guest.end("web", id)).toBe(honest);
    });

    it("takes nothing to read", async () => {
      for (const exec_id of [guest.tool, "", "exec"]) {
        const names = { container_id: guest.tool, exec_id };
        const data = Buffer.from("x");
        expect(await guest.reply(methods.WriteStdin, { ...names, data })).toEqual(blocked("WriteStreamRequest"));
        expect(await guest.reply(methods.CloseStdin, names)).toEqual(blocked("CloseStdinRequest"));
      }
      const log = { log_type: "termination_log", container_id: guest.tool };
      expect(await guest.reply(methods.GetDiagnosticData, log)).toEqual(blocked("GetDiagnosticDataRequest"));
    });
  });

  describe("in a guest that is not the host's", () => {
    it.each<[keyof typeof methods, string, object]>([
      ["AddSwap", "AddSwapRequest", { PCIPath: [2] }],
      ["AddSwapPath", "AddSwapPathRequest", { path: "/dev/vda" }],
      ["GetIPTables", "GetIPTablesRequest", {}],
      ["GetMetrics", "GetMetricsRequest", {}],
      ["GetVolumeStats", "VolumeStatsRequest", { volume_guest_path: "/etc" }],
      ["ListInterfaces", "ListInterfacesRequest", {}],
      ["ListRoutes", "ListRoutesRequest", {}],
      ["MemAgentCompactSet", "MemAgentCompactConfig", {}],
      ["MemAgentMemcgSet", "MemAgentMemcgConfig", {}],
      ["MemHotplugByProbe", "MemHotplugByProbeRequest", { memHotplugProbeAddr: [1n] }],
      ["ReseedRandomDev", "ReseedRandomDevRequest", { data: Buffer.alloc(32) }],
      ["ResizeVolume", "ResizeVolumeRequest", { volume_guest_path: "/etc", size: 1n }],
      ["SetGuestDateTime", "SetGuestDateTimeRequest", { Sec: 1n, Usec: 1n }],
      ["SetIPTables", "SetIPTablesRequest", { data: Buffer.from("*filter\nCOMMIT\n") }],
      ["UpdateEphemeralMounts", "UpdateEphemeralMountsRequest", { storages: [] }],
      ["UpdateInterface", "UpdateInterfaceRequest", { interface: { name: "lo", device: "lo" } }],
      ["UpdateInterface", "UpdateInterfaceRequest", { interface: { name: "eth0", device: "lo" } }],
      [
        "UpdateInterface",
        "UpdateInterfaceRequest",
        { interface: { name: "eth0", IPAddresses: [{ address: "127.0.0.2", mask: "8" }] } },
      ],
      ["UpdateInterface", "UpdateInterfaceRequest", { interface: null }],
      ["UpdateRoutes", "UpdateRoutesRequest", { routes: { Routes: [{ device: "lo", dest: "10.0.0.0/8" }] } }],
      ["UpdateRoutes", "UpdateRoutesRequest", { routes: { Routes: [{ device: "eth0", dest: "127.0.0.0/8" }] } }],
      [
        "AddARPNeighbors",
        "AddARPNeighborsRequest",
        { neighbors: { ARPNeighbors: [{ device: "lo", toIPAddress: { address: "10.0.0.1" } }] } },
      ],
      ["SetPolicy", "SetPolicyRequest", { policy: "package agent_policy\n\ndefault ExecProcessRequest := true\n" }],
    ])("refuses %s as %s %o", async (name, rule, request) => {
      const method = methods[name] as unknown as MethodDescriptor<object, object>;
      expect(await guest.reply(method, request)).toEqual(blocked(rule));
    });

    it.each(["UpdateContainer", "PauseContainer", "ResumeContainer"] as const)("refuses %s", async (name) => {
      const method = methods[name] as unknown as MethodDescriptor<object, object>;
      expect(await guest.reply(method, { container_id: guest.tool })).toEqual(blocked(`${name}Request`));
    });

    it("keeps its policy, however it is asked", async () => {
      for (const policy of ["", "package agent_policy", "package other\ndefault x := true", "{"]) {
        expect(await guest.reply(SetPolicy, { policy })).toEqual(blocked("SetPolicyRequest"));
      }
    });
  });

  describe("with files of the host's", () => {
    const at = (id: string, name = "settings"): string => `${SHARED}/${id}-${DIGITS}-${name}`;
    const copy = (path: string, data = "x", file_mode = 0o100644): Init<grpc.CopyFileRequest> => ({
      path,
      data: Buffer.from(data),
      file_size: (file_mode & 0o170000) === 0o100000 ? BigInt(data.length) : 0n,
      file_mode,
      dir_mode: 0o755,
    });
    const link = (path: string, target: string) => copy(path, target, 0o120777);

    // golang/vulndb#5563: CVE-2026-41326, GHSA-q49m-57vm-c8cc
    it.each<[string, (id: string) => Init<grpc.CopyFileRequest>]>([
      ["the guest's own", () => copy("/etc/x")],
      ["the agent's", (id) => copy(`/run/kata-containers/${id}/config.json`)],
      ["a container's root", () => copy(`/run/kata-containers/${guest.tool}/rootfs/bin/sleep`)],
      ["the pod's volume", () => copy(`${SHARED}/${guest.sandboxId}/rootfs/local/data/state`)],
      ["the pod's memory", () => copy("/run/kata-containers/sandbox/ephemeral/scratch/x")],
      ["the shared folder's", () => copy(`${SHARED}/x`)],
      ["a volume that no container has", (id) => copy(at(id, "secrets"))],
      ["a volume of no container", () => copy(at("0".repeat(63)))],
      ["a step up", (id) => copy(`${at(id)}/../x`)],
      ["steps up to the guest's", (id) => copy(`${at(id)}/../../../../../etc/x`)],
      ["a step that leads nowhere", (id) => copy(`${at(id)}/./x`)],
      ["an empty step", (id) => copy(`${at(id)}//x`)],
      ["a zero byte", (id) => copy(`${at(id)}/a\0b`)],
      ["a relative path", (id) => copy(at(id).slice(1))],
      ["a link to the guest's files", (id) => link(`${at(id)}/x`, "/etc")],
      ["a link up", (id) => link(`${at(id)}/x`, "../../..")],
      ["a link up by the way down", (id) => link(`${at(id)}/x`, "a/../../..")],
      ["a link to here", (id) => link(`${at(id)}/x`, "./a")],
      ["a pipe", (id) => copy(at(id), "", 0o010644)],
      ["a device", (id) => copy(at(id), "", 0o020644)],
      ["a disk", (id) => copy(at(id), "", 0o060644)],
      ["a socket", (id) => copy(at(id), "", 0o140644)],
      ["nothing that is known", (id) => copy(at(id), "", 0)],
    ])("refuses to copy %s", async (_, request) => {
      const files = await guest.guest.names(SHARED);
      expect(await guest.reply(CopyFile, request(guest.requests("web").id))).toEqual(blocked("CopyFileRequest"));
      expect(await guest.guest.names(SHARED)).toEqual(files);
    });

    it("does not write through links that it was given", async () => {
      const { id } = guest.requests("web");
      await guest.must(CopyFile, copy(`${at(id)}/real/file`, "real"));
      await guest.must(CopyFile, link(`${at(id)}/way`, "real"));
      expect(await guest.reply(CopyFile, copy(`${at(id)}/way/file`, "evil"))).toMatchObject({ code: 13 });
      expect(await guest.guest.text(`${at(id)}/real/file`)).toBe("real");
      // At the end of a path the link itself is replaced.
      await guest.must(CopyFile, copy(`${at(id)}/way`, "file"));
      expect(await guest.guest.text(`${at(id)}/real/file`)).toBe("real");
    });

    // The agent refuses these: no path of a mount or a copy leads over a link.
    it.each<[string, (id: string) => string]>([
      ["the pod's volume", () => `${guest.sandboxId}/rootfs/local/data`],
      [
        "another container's files",
        (id) => `${id.replace(/^./u, (one) => (one === "0" ? "1" : "0"))}-${DIGITS}-settings`,
      ],
      ["nothing", () => "nothing"],
    ])("mounts no link to %s", async (_, target) => {
      const { id, create } = guest.requests("web");
      const mounts = (create.OCI?.Mounts ?? []).map((one) =>
        one.destination === "/etc/settings" ? { ...one, source: at(id) } : one,
      );
      await guest.must(CopyFile, link(at(id), target(id)));
      const spoilt = { ...create, OCI: { ...create.OCI, Mounts: mounts } };
      expect(await guest.reply(CreateContainer, spoilt)).toMatchObject({ code: 13 });
      expect(await guest.reply(CopyFile, copy(`${at(id)}/x`))).toMatchObject({ code: 13 });
      expect(await guest.guest.names(`/run/kata-containers/${id}`)).toEqual([]);
      // The id and the name are free: nothing was made of them.
      expect(await guest.runToEnd("web", id)).toBe(honest);
    });
  });

  it("takes one meaning of metadata that say two things", async () => {
    const { id, copies, create } = guest.requests("web");
    for (const copy of copies) await guest.must(CopyFile, copy);
    const request: Create = CreateContainer.decodeRequest(CreateContainer.encodeRequest(create));
    const [first] = request.storages;
    const [said = ""] = first?.driver_options ?? [];
    const members = said.slice("image_guest_pull={".length, -1);
    const sandbox = { ...request.OCI?.Annotations, "io.kubernetes.cri.container-type": "sandbox" };
    const other = `"metadata":${JSON.stringify(sandbox)}`;
    const saying = (...all: readonly string[]): Create =>
      pull(request, () => ({ driver_options: [`image_guest_pull={${all.join()}}`] }));
    expect(await guest.reply(CreateContainer, saying(members, other))).toEqual(blocked("CreateContainerRequest"));
    // Both readers take the last of two members.
    await guest.must(CreateContainer, saying(other, members));
    await guest.must(StartContainer, { container_id: id });
    expect(await guest.end("web", id)).toBe(honest);
  });
});

describe("a pod whose owner allows a command with input", () => {
  it("takes input for that command, and for no container's own process", async () => {
    await using guest = await PolicedGuest.start({ exec: [["cat"]], execStdin: true });
    const { tool } = guest;
    const { process } = guest.probe("tool", tool);
    if (process === null) throw new Error("no process");
    await guest.must(ExecProcess, { container_id: tool, exec_id: "cat", process: { ...process, Args: ["cat"] } });
    const cat = { container_id: tool, exec_id: "cat" };
    await guest.must(methods.WriteStdin, { ...cat, data: Buffer.from("x") });
    // An empty name is the container's own process to the agent.
    for (const exec_id of [tool, ""]) {
      const names = { container_id: tool, exec_id };
      const data = Buffer.from("x");
      expect(await guest.reply(methods.WriteStdin, { ...names, data }), exec_id).toEqual(blocked("WriteStreamRequest"));
      expect(await guest.reply(methods.CloseStdin, names), exec_id).toEqual(blocked("CloseStdinRequest"));
    }
    await guest.must(methods.CloseStdin, cat);
    expect(await guest.guest.rpc.call(methods.WaitProcess, cat)).toEqual({ status: 0 });
  });
});
