import { AgentService, Health } from "@nacre/protocols";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { AttackedGuest } from "../fixtures/attacked-guest.ts";
import { GUEST_KIND, patient } from "../fixtures/guest-kind.ts";

const {
  CloseStdin,
  CreateContainer,
  ExecProcess,
  PauseContainer,
  ReadStderr,
  ReadStdout,
  RemoveContainer,
  ResumeContainer,
  SignalProcess,
  StartContainer,
  StatsContainer,
  TtyWinResize,
  UpdateContainer,
  WaitProcess,
  WriteStdin,
} = AgentService.methods;

describe("processes and states that a host plays with", () => {
  let guest: AttackedGuest;
  let before: Record<string, string[]>;
  beforeAll(async () => {
    guest = await AttackedGuest.start();
    before = await guest.holdings();
  });
  afterAll(() => guest[Symbol.asyncDispose]());

  const exec = (container_id: string, exec_id: string, ...args: string[]) =>
    guest.reply(ExecProcess, { container_id, exec_id, process: { Args: args, Env: ["PATH=/bin"], Cwd: "/" } });
  const alive = async (): Promise<void> => {
    await guest.rpc.call(Health.methods.Check, {}, { timeoutMs: patient(30_000) });
  };

  it("neither hangs nor breaks on a second start, and on an exec into what is paused or over", async () => {
    await guest.run("state", ["sleep", "1000"]);
    const starts = await Promise.all([1, 2, 3].map(() => guest.reply(StartContainer, { container_id: "state" })));
    expect(starts.map(({ code }) => code)).toEqual([13, 13, 13]);
    await guest.rpc.call(PauseContainer, { container_id: "state" });
    expect(await exec("state", "paused", "true")).toMatchObject({ code: 13 });
    expect(await guest.reply(PauseContainer, { container_id: "state" })).toMatchObject({ code: 13 });
    await guest.rpc.call(StatsContainer, { container_id: "state" }, { timeoutMs: patient(30_000) });
    const wait = guest.rpc.call(WaitProcess, { container_id: "state", exec_id: "state" });
    await guest.rpc.call(SignalProcess, { container_id: "state", signal: 9 });
    expect(await wait).toEqual({ status: 137 });
    expect(await exec("state", "over", "true")).toMatchObject({ code: 13 });
    expect(await guest.reply(StartContainer, { container_id: "state" })).toMatchObject({ code: 13 });
    expect(await guest.reply(ResumeContainer, { container_id: "state" })).toMatchObject({ code: 13 });
    await guest.remove("state");
    expect(await guest.holdings()).toEqual(before);
  });

  it("can be killed and removed while it is being paused", async () => {
    for (let round = 0; round < 3; round += 1) {
      await guest.run("frozen", ["sleep", "1000"]);
      const pause = guest.reply(PauseContainer, { container_id: "frozen" });
      await guest.rpc.call(SignalProcess, { container_id: "frozen", signal: 9 });
      await pause;
      await guest.rpc.call(RemoveContainer, { container_id: "frozen", timeout: 20 });
    }
    expect(await guest.holdings()).toEqual(before);
  });

  it("is removed once when it is removed many times at once, and the name can be used at once", async () => {
    const storage = {
      driver: "ephemeral",
      source: "tmpfs",
      fstype: "tmpfs",
      mount_point: "/run/kata-containers/sandbox/kept",
    };
    const mounts = [{ destination: "/kept", source: storage.mount_point, type: "bind", options: ["rbind"] }];
    const parts = { storages: [storage], mounts };
    await guest.run("user", ["sleep", "1000"], parts);
    for (let round = 0; round < 3; round += 1) {
      await guest.run("twice", ["sleep", "1000"], parts);
      const removals = Array.from({ length: 4 }, () => guest.reply(RemoveContainer, { container_id: "twice" }));
      expect((await Promise.all(removals)).filter(({ code }) => code === 0)).toHaveLength(1);
    }
    // The storage is still that of the first one, and stays for the pod.
    expect(await guest.mountPoints("/run/kata-containers/sandbox")).toContain(storage.mount_point);
    await guest.remove("user");
    const after = await guest.holdings();
    expect({ ...after, mounts: after["mounts"]?.filter((path) => path !== storage.mount_point) }).toEqual(before);
    expect(after["mounts"]).toContain(storage.mount_point);
    before = after;
  });

  it("leaves nothing of a create whose caller vanishes, at any moment", async () => {
    for (const ms of [1, 3, 6, 10, 20, 40, 60, 80]) {
      const client = await guest.connect();
      const request = guest.request(`gone${ms}`, { args: ["sleep", "1000"] });
      await client.call(CreateContainer, request, { timeoutMs: ms }).catch(() => undefined);
      client.close();
    }
    // A create that was through before its caller went has made a container; the others are undone in their own time.
    for (const ms of [1, 3, 6, 10, 20, 40, 60, 80]) {
      let reply = await guest.reply(CreateContainer, guest.request(`gone${ms}`));
      while (reply.message.includes("in use")) {
        await guest.reply(RemoveContainer, { container_id: `gone${ms}` });
        reply = await guest.reply(CreateContainer, guest.request(`gone${ms}`));
      }
      expect(reply).toEqual({ code: 0, message: "" });
      await guest.remove(`gone${ms}`);
    }
    expect(await guest.holdings()).toEqual(before);
  });

  it("leaves nothing of an exec whose caller vanishes or whose time is up", async () => {
    await guest.run("host", ["sleep", "1000"]);
    const times = [1, 3, 6, 10, 15, 20, 25, 30, 40];
    for (const timeoutMs of times) {
      await guest.rpc
        .call(
          ExecProcess,
          {
            container_id: "host",
            exec_id: `e${timeoutMs}`,
            process: { Args: ["sleep", "1000"], Env: ["PATH=/bin"], Cwd: "/" },
          },
          { timeoutMs },
        )
        .catch(() => undefined);
    }
    expect(await exec("host", "last", "sh", "-c", "cat /proc/[0-9]*/comm | sort | uniq -c")).toMatchObject({ code: 0 });
    const processes = await guest.output("host", "last");
    expect(processes).not.toMatch(/runc|crun/);
    // The container's own, and those of execs that were through before their time was up: the agent knows them.
    const known = await Promise.all(
      times.map((ms) => guest.reply(SignalProcess, { container_id: "host", exec_id: `e${ms}`, signal: 0 })),
    );
    const count = 1 + known.filter(({ code }) => code === 0).length;
    expect(processes.split("\n").map((line) => line.trim())).toContain(`${count} sleep`);
    await guest.remove("host");
    expect(await guest.holdings()).toEqual(before);
  });

  it("takes no more input than the pipe holds, and lets go of the rest", async () => {
    await guest.run("deaf", ["sleep", "1000"]);
    const data = Buffer.alloc(1 << 20, "y");
    const client = await guest.connect();
    const writes = Array.from({ length: 16 }, () => client.call(WriteStdin, { container_id: "deaf", data }));
    const failed = Promise.allSettled(writes);
    await alive();
    client.close();
    expect((await failed).map(({ status }) => status)).not.toContain("fulfilled");
    expect(await guest.reply(CloseStdin, { container_id: "deaf", exec_id: "deaf" })).toMatchObject({ code: 0 });
    expect(await guest.reply(WriteStdin, { container_id: "deaf", data: Buffer.from("x") })).toEqual({
      code: 13,
      message: "Cannot get writer",
    });
    await guest.remove("deaf");
    expect(await guest.holdings()).toEqual(before);
  });

  it("bears numbers that make no sense", async () => {
    await guest.run("odd", ["sh", "-c", "echo out; sleep 1000"]);
    const odd = { container_id: "odd", exec_id: "odd" };
    for (const signal of [65, 999, 0x7fff_ffff, 0xffff_ffff]) {
      expect(await guest.reply(SignalProcess, { ...odd, signal })).toMatchObject({ code: 13 });
    }
    expect(await guest.reply(TtyWinResize, { ...odd, row: 0xffff_ffff, column: 0 })).toEqual({
      code: 14,
      message: '"no tty"',
    });
    expect((await guest.rpc.call(ReadStdout, { ...odd, len: 0 })).data).toHaveLength(0);
    expect(Buffer.from((await guest.rpc.call(ReadStdout, { ...odd, len: 0xffff_ffff })).data).toString()).toBe("out\n");
    const resources = { Memory: { Limit: -5n }, CPU: { Quota: -(2n ** 63n), Cpus: "0-999999", Mems: "../x" } };
    await guest.reply(UpdateContainer, { container_id: "odd", resources });
    const files = { HugepageLimits: [{ Pagesize: "../../x", Limit: 1n }], BlockIO: { Weight: 0xffff_ffff } };
    await guest.reply(UpdateContainer, { container_id: "odd", resources: files });
    await alive();
    await guest.rpc.call(RemoveContainer, { container_id: "odd", timeout: 0xffff_ffff });
    expect(await guest.holdings()).toEqual(before);
  });

  it("answers thousands of waiting calls and lets go of them with their connection", async () => {
    await guest.run("busy", ["sleep", "1000"]);
    const client = await guest.connect();
    const names = { container_id: "busy", exec_id: "busy" };
    // A policy decides on each of them, which takes an emulated processor twenty times as long.
    const waiting = Array.from({ length: GUEST_KIND === "qemu" ? 600 : 3000 }, (_, i) =>
      i % 3 === 0
        ? client.call(WaitProcess, names)
        : client.call(i % 3 === 1 ? ReadStdout : ReadStderr, { ...names, len: 100 }),
    );
    const all = Promise.allSettled(waiting);
    await alive();
    // Under way before the end: the agent may still be reading the others' calls, and whichever wait comes first after
    // the end makes it forget the process.
    const wait = guest.rpc.call(WaitProcess, names);
    client.close();
    await all;
    await guest.rpc.call(SignalProcess, { ...names, signal: 9 });
    expect(await wait).toEqual({ status: 137 });
    await guest.remove("busy");
    expect(await guest.holdings()).toEqual(before);
  });
});
