import { createServer } from "node:net";
import { once } from "node:events";
import { gzipSync } from "node:zlib";

import { AgentService, type grpc, Health, type Init, type MethodDescriptor } from "@nacre/protocols";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";

import { AttackedGuest, type Parts, SHARED } from "../fixtures/attacked-guest.ts";
import { FULL_RUN_FILES, fullRun } from "../fixtures/full-run.ts";
import { GUEST_KIND, patient } from "../fixtures/guest-kind.ts";
import { sha256 } from "../fixtures/image.ts";
import { pushImage } from "../fixtures/registry.ts";
import { tar } from "../fixtures/tar.ts";

const {
  CloseStdin,
  CopyFile,
  CreateContainer,
  CreateSandbox,
  ExecProcess,
  GetDiagnosticData,
  PauseContainer,
  ReadStdout,
  RemoveContainer,
  ResumeContainer,
  SetPolicy,
  SignalProcess,
  StartContainer,
  StatsContainer,
  TtyWinResize,
  UpdateContainer,
  WaitProcess,
  WriteStdin,
} = AgentService.methods;

type AnyMethod = MethodDescriptor<object, object>;

/**
 * The bad input that the project promises to bear, all of it on one guest: each case tells code and text, and after
 * each the next request works and nothing is left.
 */
describe("bad input", () => {
  let guest: AttackedGuest;
  let before: Record<string, string[]>;
  beforeAll(async () => {
    guest = await AttackedGuest.start(GUEST_KIND === "simulated" ? { files: FULL_RUN_FILES } : {});
    const file = {
      path: `${SHARED}/file`,
      data: Buffer.from("x"),
      file_size: 1n,
      file_mode: 0o100644,
      dir_mode: 0o755,
    };
    await guest.rpc.call(CopyFile, file);
    before = await guest.holdings();
  });
  afterAll(() => guest[Symbol.asyncDispose]());
  afterEach(async () => {
    await guest.rpc.call(Health.methods.Check, {}, { timeoutMs: patient(30_000) });
    expect(await guest.print("next", ["echo", "works"])).toBe("works\n");
    expect(await guest.holdings()).toEqual(before);
  });

  const create = (id: string, parts: Parts = {}) => guest.reply(CreateContainer, guest.request(id, parts));
  const spoilt = (id: string, spoil: (oci: grpc.Spec) => Partial<grpc.Spec>) => {
    const request = guest.request(id);
    if (request.OCI === null) throw new Error("no OCI specification");
    return guest.reply(CreateContainer, { ...request, OCI: { ...request.OCI, ...spoil(request.OCI) } });
  };
  const process = (over: Init<grpc.Process> = {}): Init<grpc.Process> => ({
    Args: ["true"],
    Env: ["PATH=/bin"],
    Cwd: "/",
    ...over,
  });
  const error = (code: number, text: string | RegExp) => ({
    code,
    message: (typeof text === "string" ? expect.stringContaining(text) : expect.stringMatching(text)) as string,
  });

  it("an unknown container, of each method with the words of its own", async () => {
    const cases: Array<[AnyMethod, object, number, string]> = [
      [StartContainer, {}, 13, "Invalid container id"],
      [RemoveContainer, {}, 13, "Invalid container id"],
      [ExecProcess, { process: { Args: ["true"] } }, 13, "Invalid container id"],
      [SignalProcess, { signal: 9 }, 13, "Invalid container id absent"],
      [SignalProcess, { exec_id: "absent", signal: 9 }, 3, "InvalidContainerId"],
      [WaitProcess, {}, 3, "InvalidContainerId"],
      [WriteStdin, { data: Buffer.from("x") }, 13, "Invalid container id"],
      [ReadStdout, { len: 1 }, 3, "InvalidContainerId"],
      [CloseStdin, {}, 3, "InvalidContainerId"],
      [TtyWinResize, { row: 1, column: 1 }, 3, "InvalidContainerId"],
      [StatsContainer, {}, 3, '"invalid container id"'],
      [UpdateContainer, {}, 3, '"invalid container id"'],
      [PauseContainer, {}, 3, '"invalid container id"'],
      [ResumeContainer, {}, 3, '"invalid container id"'],
      [GetDiagnosticData, { log_type: "termination_log" }, 13, "Invalid container id: absent"],
    ];
    for (const [method, over, code, message] of cases) {
      const request = { container_id: "absent", ...over };
      expect(await guest.reply(method, request), method.name).toEqual({ code, message });
    }
  });

  it("an id that is in use (S 6): the container that has it goes on", async () => {
    await guest.run("taken", ["sh", "-c", "read line; echo $line"]);
    expect(await create("taken")).toEqual(error(13, /^exec fifo exists\n\nCaused by:\n.*taken is in use/));
    const names = { container_id: "taken", exec_id: "taken" };
    await guest.rpc.call(WriteStdin, { ...names, data: Buffer.from("still here\n") });
    expect(await guest.output("taken")).toBe("still here\n");
    await guest.remove("taken");
  });

  it("no OCI specification, and an id that is a path", async () => {
    expect(await guest.reply(CreateContainer, { ...guest.request("none"), OCI: null })).toEqual(
      error(13, /^EINVAL: Invalid argument\n\nCaused by:\n.*no OCI specification/),
    );
    expect(await create("../x")).toEqual(error(13, "invalid container ID ../x"));
  });

  it("an unknown storage driver, after one that was made", async () => {
    const good = { driver: "local", mount_point: "/run/kata-containers/sandbox/local", options: ["mode=0700"] };
    const bad = { driver: "floppy", mount_point: "/run/kata-containers/sandbox/x" };
    const storage = {
      driver: "ephemeral",
      source: "shm",
      fstype: "tmpfs",
      mount_point: "/run/kata-containers/sandbox/e",
    };
    expect(await create("drv", { storages: [storage, bad] })).toEqual(
      error(13, "Failed to find the storage handler floppy"),
    );
    // `local` accepts any path in the real agent, also a relative one (S 12).
    expect(await create("drv", { storages: [{ ...good, mount_point: "relative" }] })).toMatchObject({ code: 13 });
  });

  describe("an image", () => {
    const pull = (image: string) => create("pulled", { image });
    let name = "";
    let images = 0;
    beforeEach(() => {
      name = `bad/image:t${++images}`;
    });

    it("of a registry that nobody reaches", async () => {
      // A port that was free a moment ago: the connection is refused.
      const probe = createServer().listen(0, guest.guest.guest.gateway);
      await once(probe, "listening");
      const { port } = probe.address() as { port: number };
      probe.close();
      await once(probe, "close");
      const reference = `${guest.guest.guest.gateway}:${port}/busybox:latest`;
      expect(await pull(reference)).toEqual(error(13, `pulling image ${reference}`));
    });

    it("that the registry does not have, or whose name is none", async () => {
      expect(await pull(`${guest.guest.registry.address}/absent:v1`)).toEqual(error(13, /\n\nCaused by:/));
      for (const reference of ["", "UPPER CASE", "../../etc/passwd", `${"x".repeat(5000)}:v1`, "a\nb"]) {
        expect(await pull(reference), reference).toMatchObject({ code: 13 });
      }
    });

    it("of another digest than it is pinned to, and with another layer than its configuration says", async () => {
      const layers = [tar([{ name: "f", data: "x" }])];
      await pushImage(guest.guest.registry, name, { layers });
      expect(await pull(`${guest.guest.registry.address}/${name}@${sha256("other")}`)).toMatchObject({ code: 13 });
      const image = await pushImage(guest.guest.registry, `${name}d`, { layers, diffIds: () => [sha256("y")] });
      expect(await pull(image.reference)).toEqual(error(13, "digest"));
    });

    it("with a truncated layer", async () => {
      const layers = [tar([{ name: "f", data: "x".repeat(10_000) }])];
      const blobs = (layer: Uint8Array): Uint8Array => gzipSync(layer).subarray(0, 50);
      const image = await pushImage(guest.guest.registry, name, { layers, blobs });
      expect(await pull(image.reference)).toEqual(error(13, "unexpected end of file"));
    });

    it("that is a bomb", async () => {
      const layers = [tar([{ name: "zeros", data: Buffer.alloc(100 * 1024 * 1024) }])];
      const blobs = (layer: Uint8Array): Uint8Array => gzipSync(layer, { level: 9 });
      const image = await pushImage(guest.guest.registry, name, { layers, blobs });
      expect(await pull(image.reference)).toEqual(error(13, "times its size"));
    });

    it("with members that lead out of its root", async () => {
      const tricks = [
        [{ name: "../../escape", data: "x" }],
        [
          { name: "link", type: "2", linkname: "/run" },
          { name: "link/escape", data: "x" },
        ],
      ] as unknown as Array<Parameters<typeof tar>[0]>;
      for (const [index, entries] of tricks.entries()) {
        const image = await pushImage(guest.guest.registry, `${name}${index}`, { layers: [tar(entries)] });
        await pull(image.reference);
        await guest.reply(RemoveContainer, { container_id: "pulled" });
        expect(await guest.names("/run")).not.toContain("escape");
        expect(await guest.names("/run/kata-containers")).not.toContain("escape");
      }
    });

    it("where the storage, its metadata and the annotations disagree", async () => {
      const request = guest.request("pulled");
      const [storage] = request.storages;
      const other = { ...storage, source: "other.example/image:v1" };
      expect(await guest.reply(CreateContainer, { ...request, storages: [other] })).toEqual(error(13, "image:"));
      const sandbox = {
        ...storage,
        driver_options: ['image_guest_pull={"metadata":{"io.kubernetes.cri.container-type":"sandbox"}}'],
      };
      expect(await guest.reply(CreateContainer, { ...request, storages: [sandbox] })).toEqual(
        error(13, "container type"),
      );
      for (const option of ["image_guest_pull=", "image_guest_pull=[]", 'image_guest_pull={"metadata":[1]}', "x"]) {
        const bad = { ...storage, driver_options: [option] };
        expect(await guest.reply(CreateContainer, { ...request, storages: [bad] }), option).toMatchObject({ code: 13 });
      }
    });
  });

  it("a policy that does not parse (S 19), is of another package or cannot be evaluated: the old one stays", async () => {
    for (const policy of [
      "package agent_policy\ndefault X := ",
      "package other\ndefault CreateContainerRequest := false\n",
      "package agent_policy\nX if { y > 1 }\n",
      "\0",
      "",
    ]) {
      expect(await guest.reply(SetPolicy, { policy }), policy).toMatchObject({ code: 3 });
    }
  });

  it("a capability, limit or seccomp action that nobody knows (S 7), and what else makes no sense", async () => {
    const caps = { Bounding: ["CAP_NONSENSE"], Effective: [], Inheritable: [], Permitted: [], Ambient: [] };
    const withProcess = (over: Partial<grpc.Process>) =>
      spoilt("odd", ({ Process }) => ({ Process: Process === null ? null : { ...Process, ...over } }));
    expect(await withProcess({ Capabilities: caps })).toEqual({ code: 3, message: "unknown capability CAP_NONSENSE" });
    const limit = { Type: "RLIMIT_NONSENSE", Hard: 1n, Soft: 1n };
    expect(await withProcess({ Rlimits: [limit] })).toEqual({
      code: 3,
      message: "unknown resource limit RLIMIT_NONSENSE",
    });
    expect(await withProcess({ Env: ["NOTHING"] })).toEqual({ code: 3, message: "environment entry without =" });
    expect(await withProcess({ SelinuxLabel: "x:y:z" })).toEqual(error(13, "SELinux"));
    expect(await withProcess({ OOMScoreAdj: 2n ** 62n })).toMatchObject({ code: 13 });
    const withLinux = (over: Partial<grpc.Linux>) =>
      spoilt("odd", ({ Linux }) => ({ Linux: Linux === null ? null : { ...Linux, ...over } }));
    const Seccomp = { DefaultAction: "SCMP_ACT_NONSENSE", Architectures: [], Flags: [], Syscalls: [] };
    expect(await withLinux({ Seccomp })).toEqual(error(3, "SCMP_ACT_NONSENSE"));
    expect(await withLinux({ Sysctl: { "kernel.core_pattern": "|/bin/sh" } })).toEqual(error(13, "sysctl"));
    expect(await withLinux({ Sysctl: { "net.../kernel.panic": "1" } })).toEqual(error(13, "sysctl"));
    expect(await withLinux({ Namespaces: [{ Type: "pid", Path: "/proc/1/ns/pid" }] })).toEqual(
      error(3, "namespace pid"),
    );
    expect(await withLinux({ Namespaces: [{ Type: "nonsense", Path: "" }] })).toEqual(error(3, "nonsense"));
    expect(await spoilt("odd", () => ({ Root: null, Process: null, Linux: null }))).toEqual({
      code: 13,
      message: "the file sh was not found",
    });
  });

  it("an exec of nonsense", async () => {
    await guest.run("host", ["sleep", "1000"]);
    const exec = (exec_id: string, over: Init<grpc.Process> | null) =>
      guest.reply(ExecProcess, { container_id: "host", exec_id, process: over === null ? null : process(over) });
    expect(await exec("e", null)).toEqual(error(13, "Unable to parse process"));
    expect(await exec("host", {})).toEqual(error(13, "exec_id 'host' already exists"));
    expect(await exec("e", { Rlimits: [{ Type: "X", Hard: 1n, Soft: 1n }] })).toMatchObject({ code: 3 });
    expect(await exec("e", { Args: ["a\0b"] })).toMatchObject({ code: 3 });
    expect(await exec("e", { Args: ["/absent"] })).toMatchObject({ code: 13 });
    expect(await exec("../../x", {})).toMatchObject({ code: 0 });
    await guest.rpc.call(WaitProcess, { container_id: "host", exec_id: "../../x" });
    await guest.remove("host");
  });

  it("a second sandbox (S 4)", async () => {
    expect(await guest.reply(CreateSandbox, { hostname: "x" })).toEqual(error(13, "setup persistent IPC namespace"));
  });

  it("CopyFile through `..`, of a fifo, of more than was announced (S 13)", async () => {
    const files = await guest.names(SHARED);
    const copy = (over: Init<grpc.CopyFileRequest>) =>
      guest.reply(CopyFile, {
        path: `${SHARED}/f`,
        data: Buffer.from("12345"),
        file_size: 5n,
        file_mode: 0o100644,
        dir_mode: 0o755,
        ...over,
      });
    expect(await copy({ path: `${SHARED}/../evil` })).toEqual(error(13, "'..' components"));
    expect(await copy({ path: "/etc/evil" })).toEqual(error(13, "prefix not found"));
    expect(await copy({ file_mode: 0o010644 })).toEqual(error(13, "file type"));
    expect(await copy({ file_size: 4n })).toEqual(error(13, "do not fit"));
    expect(await guest.names(SHARED)).toEqual(files);
  });

  it("a disk that is full", async () => {
    await using _full = await fullRun(guest);
    expect(await create("full")).toMatchObject({ code: 13 });
    const data = Buffer.alloc(1 << 20, "x");
    const file = { path: `${SHARED}/full`, data, file_size: BigInt(data.length), file_mode: 0o100644, dir_mode: 0o755 };
    expect(await guest.reply(CopyFile, file)).toEqual(error(13, "ENOSPC"));
    expect(await guest.names(SHARED)).not.toContain("full");
  });

  it("a second SetPolicy where the policy forbids it", async () => {
    const open = await guest.text("/etc/kata-opa/default-policy.rego");
    const closed = open.replace("default SetPolicyRequest := true", "default SetPolicyRequest := false");
    expect(closed).not.toBe(open);
    expect(await guest.reply(SetPolicy, { policy: closed })).toMatchObject({ code: 0 });
    expect(await guest.reply(SetPolicy, { policy: open })).toEqual({
      code: 7,
      message: '"SetPolicyRequest is blocked by policy: "',
    });
  });
});
