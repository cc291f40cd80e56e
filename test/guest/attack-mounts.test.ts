import { AgentService, type grpc, type Init } from "@nacre/protocols";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { AttackedGuest, type Parts, SHARED } from "../fixtures/attacked-guest.ts";

const { CopyFile, CreateContainer, GetDiagnosticData, ReadStdout } = AgentService.methods;

/** A file that only the guest's root has. */
const SECRET = "/etc/kata-opa/default-policy.rego";

describe("mounts, storages and files that a host chooses", () => {
  let guest: AttackedGuest;
  let before: Record<string, string[]>;
  beforeAll(async () => {
    guest = await AttackedGuest.start();
    await copy("file", "contents");
    before = await guest.holdings();
  });
  afterAll(() => guest[Symbol.asyncDispose]());

  const copy = (path: string, data: string, file_mode = 0o100644, over: Init<grpc.CopyFileRequest> = {}) =>
    guest.reply(CopyFile, {
      path: `${SHARED}/${path}`,
      data: Buffer.from(data),
      file_size: (file_mode & 0o170000) === 0o100000 ? BigInt(data.length) : 0n,
      file_mode,
      dir_mode: 0o755,
      ...over,
    });
  const link = (path: string, target: string) => copy(path, target, 0o120777);
  const createWith = (id: string, over: Parts) => guest.reply(CreateContainer, guest.request(id, over));

  it.each<[string, object]>([
    ["bind", { options: ["bind"], source: "/etc" }],
    ["rbind", { options: ["ro", "rbind"], source: "/" }],
    ["remount", { options: ["remount", "size=1m"] }],
    ["rshared", { options: ["rshared"] }],
    ["another type", { fstype: "proc", source: "proc" }],
    ["overlay", { fstype: "overlay", options: ["lowerdir=/"] }],
  ])("an ephemeral storage is a tmpfs and nothing else: %s", async (_what, over) => {
    const storage = {
      driver: "ephemeral",
      source: "tmpfs",
      fstype: "tmpfs",
      mount_point: "/run/kata-containers/sandbox/x",
      ...over,
    };
    expect(await createWith("eph", { storages: [storage] })).toMatchObject({ code: 13 });
    expect(await guest.holdings()).toEqual(before);
  });

  it.each([
    "/etc",
    "/run/kata-containers",
    "/run/kata-containers/sandbox",
    "/run/kata-containers/victim/rootfs",
    "/run/kata-containers/image/x",
    "/run/kata-containers/sandbox/../../../etc/x",
    "/run/kata-containers/sandbox/a\0b",
    "run/kata-containers/sandbox/x",
    "",
  ])("a storage stays in its folders: %j", async (mount_point) => {
    for (const driver of ["local", "ephemeral"]) {
      const storage = { driver, source: driver, fstype: "tmpfs", mount_point };
      expect(await createWith("sto", { storages: [storage] }), driver).toMatchObject({ code: 13 });
    }
    expect(await guest.holdings()).toEqual(before);
  });

  it("a storage does not follow a planted link out of the shared folder", async () => {
    expect(await link("out", "/etc")).toMatchObject({ code: 0 });
    for (const driver of ["local", "ephemeral"]) {
      const storage = {
        driver,
        source: driver,
        fstype: "tmpfs",
        mount_point: `${SHARED}/out/planted`,
        options: ["mode=0777"],
      };
      expect(await createWith("sto", { storages: [storage] }), driver).toMatchObject({ code: 13 });
    }
    expect(await guest.names("/etc")).not.toContain("planted");
    expect(await guest.holdings()).toEqual(before);
  });

  it.each<[string, string]>([
    ["a planted link", `${SHARED}/secret`],
    ["a planted link on the way", `${SHARED}/etc-link/kata-opa`],
    ["a relative path", "mounts/../../../etc"],
    ["an empty path", ""],
    ["dots", `${SHARED}/../../../../etc`],
    ["nothing there", `${SHARED}/absent`],
  ])("a bind mount's source is what its name says: %s", async (_what, source) => {
    await link("secret", SECRET);
    await link("etc-link", "/etc");
    const mounts = [{ destination: "/x", source, type: "bind", options: ["rbind"] }];
    expect(await createWith("bind", { mounts })).toMatchObject({ code: 13 });
    const odd = [{ destination: "/x", source, type: "none", options: ["bind", "ro"] }];
    expect(await createWith("bind", { mounts: odd })).toMatchObject({ code: 13 });
    expect(await guest.holdings()).toEqual(before);
  });

  it.each([
    "/etc/x",
    "/run/kata-containers/victim/config.json",
    "/run/kata-containers/shared/containers",
    "/run/kata-containers/shared/containers/../../x",
    "/run/kata-containers/shared/containersx/f",
    `${SHARED}/a\0b`,
    `${SHARED}/${"d/".repeat(100)}f`,
    `${SHARED}/${"n".repeat(256)}`,
    "relative",
    "",
  ])("CopyFile stays in the shared folder: %j", async (path) => {
    const files = await guest.names(SHARED);
    for (const mode of [0o100644, 0o120777, 0o040755]) {
      expect(await copy("", "/etc", mode, { path }), mode.toString(8)).toMatchObject({ code: 13 });
    }
    expect(await guest.names(SHARED)).toEqual(files);
  });

  it("CopyFile does not write through planted links, whatever is copied", async () => {
    await link("through", "/etc");
    await link("dangling", "/etc/made-by-copy");
    const files = await guest.names(SHARED);
    expect(await copy("through/f", "x")).toMatchObject({ code: 13 });
    expect(await copy("through/d", "", 0o040755)).toMatchObject({ code: 13 });
    expect(await copy("through/l", "y", 0o120777)).toMatchObject({ code: 13 });
    expect(await copy("dangling", "xyz")).toMatchObject({ code: 0 });
    expect(await guest.names("/etc")).not.toContain("made-by-copy");
    expect(await guest.names(SHARED)).toEqual(files);
  });

  it("CopyFile refuses sizes and offsets that make no sense and leaves no part behind", async () => {
    const files = await guest.names(SHARED);
    for (const over of [
      { file_size: -1n },
      { offset: -1n },
      { offset: 2n ** 63n - 1n },
      { offset: 2n ** 53n + 1n, file_size: 2n ** 62n },
      { file_size: 3n },
      { uid: -2 },
      { gid: -2147483648 },
      { file_mode: 0o010644 },
      { file_mode: 0o020644 },
      { file_mode: 0o060644 },
      { file_mode: 0o140644 },
      { file_mode: 0 },
      { file_mode: 0xffff_ffff },
    ]) {
      expect(await copy("odd", "12345678", 0o100644, over), JSON.stringify(Object.keys(over))).toMatchObject({
        code: 13,
      });
    }
    expect(await guest.names(SHARED)).toEqual(files);
  });

  it("a termination log is a file that the container has by a bind mount", async () => {
    const annotations = { "io.kubernetes.container.terminationMessagePath": "/dev/log" };
    const cases: Array<[string, object]> = [
      ["label", { type: "tmpfs", source: SECRET }],
      ["folder", { type: "bind", source: SHARED, options: ["rbind"] }],
    ];
    for (const [id, mount] of cases) {
      const mounts = [{ destination: "/dev/log", ...mount }];
      expect(await createWith(id, { mounts, annotations })).toMatchObject({ code: 0 });
      const read = await guest.reply(GetDiagnosticData, { log_type: "termination_log", container_id: id });
      expect(read, id).toMatchObject({ code: 13 });
      await guest.remove(id);
    }
    expect(await guest.reply(GetDiagnosticData, { log_type: "../../etc/passwd", container_id: "label" })).toMatchObject(
      {
        code: 3,
      },
    );
    expect(await guest.holdings()).toEqual(before);
  });

  it("a termination log that was changed to a link after the start is not followed", async () => {
    await copy("log", "first words");
    const annotations = { "io.kubernetes.container.terminationMessagePath": "/dev/log" };
    const mounts = [{ destination: "/dev/log", type: "bind", source: `${SHARED}/log`, options: ["rbind"] }];
    expect(await createWith("late", { mounts, annotations })).toMatchObject({ code: 0 });
    const request = { log_type: "termination_log", container_id: "late" };
    expect(await guest.rpc.call(GetDiagnosticData, request)).toEqual({ data: "first words" });
    await link("log", SECRET);
    expect(await guest.reply(GetDiagnosticData, request)).toMatchObject({ code: 13 });
    await guest.remove("late");
    expect(await guest.holdings()).toEqual(before);
  });

  it("a container gets no descriptor, no environment and no folder of the guest's", async () => {
    await guest.run("looks", ["sh", "-c", "ls /proc/self/fd; env; ls -d /proc/1/root/usr/lib/nacre; echo all; cat"]);
    let text = "";
    while (!text.endsWith("\nall\n")) {
      const { data } = await guest.rpc.call(ReadStdout, { container_id: "looks", exec_id: "looks", len: 4096 });
      if (data.length === 0) throw new Error(`expected more than ${text}`);
      text += Buffer.from(data).toString();
    }
    const lines = text.split("\n");
    expect(lines).toContain("PATH=/bin:/usr/bin");
    // The fourth is that of ls, which reads the folder.
    expect(lines.slice(0, 4)).toEqual(["0", "1", "2", "3"]);
    const names = lines.slice(4).map((line) => line.split("=")[0]);
    expect(names.filter((name) => /KATA|NODE|LISTEN|_/.test(name ?? ""))).toEqual([]);
    await guest.remove("looks");
  });

  it.each(["/proc/self/fd/7", "/proc/self/fd/8", "/proc/self/fd/9", "/proc/1/cwd", "../../.."])(
    "a working directory does not lead out: %s",
    async (Cwd) => {
      const request = guest.request("cwd", { args: ["sh", "-c", "ls ../../../usr/lib/nacre /usr/lib/nacre 2>&1"] });
      const OCI = { ...request.OCI, Process: { ...request.OCI?.Process, Cwd } };
      const created = await guest.reply(CreateContainer, { ...request, OCI });
      if (created.code === 0) {
        await guest.rpc.call(AgentService.methods.StartContainer, { container_id: "cwd" }).catch(() => undefined);
        expect(await guest.output("cwd")).not.toContain("kata-agent.mjs");
        await guest.remove("cwd");
      }
      expect(await guest.holdings()).toEqual(before);
    },
  );
});
