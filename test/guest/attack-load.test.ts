import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { connect, type Socket } from "node:net";

import { AgentService, Health } from "@nacre/protocols";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { AttackedGuest } from "../fixtures/attacked-guest.ts";
import { GUEST_KIND, patient } from "../fixtures/guest-kind.ts";

const { CreateContainer, CreateSandbox, DestroySandbox, GetGuestDetails, RemoveContainer, SetPolicy, WriteStdin } =
  AgentService.methods;

/** The agent's process as this machine numbers it. */
function agentPid(guest: AttackedGuest): number {
  const namespace = readlinkSync(`/proc/${guest.guest.guest.initPid}/ns/pid`);
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const isAgent = readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("kata-agent.mjs");
      if (isAgent && readlinkSync(`/proc/${pid}/ns/pid`) === namespace) return Number(pid);
    } catch {
      // Ended while we were looking.
    }
  }
  throw new Error("the guest has no agent");
}

describe("a host that asks for more than there is", () => {
  let guest: AttackedGuest;
  let before: Record<string, string[]>;
  beforeAll(async () => {
    guest = await AttackedGuest.start();
    before = await guest.holdings();
  });
  afterAll(() => guest[Symbol.asyncDispose]());

  const alive = async (): Promise<void> => {
    await guest.rpc.call(Health.methods.Check, {}, { timeoutMs: patient(30_000) });
    await guest.rpc.call(GetGuestDetails, {}, { timeoutMs: patient(30_000) });
  };
  const flood = async (count: number): Promise<Socket[]> => {
    const sockets = Array.from({ length: count }, () => connect(guest.guest.agentSocket).on("error", () => {}));
    await Promise.all(
      sockets.map(async (socket) => {
        if (socket.connecting) await once(socket, "connect").catch(() => undefined);
      }),
    );
    return sockets;
  };
  /** No more of them at a time than wait in line for an agent that is slow, and all of them let in. */
  const floodInTurns = async (count: number): Promise<Socket[]> => {
    const sockets: Socket[] = [];
    while (sockets.length < count) {
      sockets.push(...(await flood(Math.min(200, count - sockets.length))));
      // The line is served in its order.
      const last = await guest.connect();
      await last.call(Health.methods.Check, {}, { timeoutMs: patient(30_000) });
      last.close();
    }
    return sockets;
  };
  const drop = async (sockets: readonly Socket[]): Promise<void> => {
    await Promise.all(
      sockets.map(async (socket) => {
        if (!socket.closed) await once(socket.destroy(), "close");
      }),
    );
  };

  // The limit of a process in a virtual machine cannot be set from here, and its own is a million.
  if (GUEST_KIND === "simulated") {
    it("does not end the agent by taking all of its descriptors", async () => {
      const pid = String(agentPid(guest));
      await guest.run("stays", ["sleep", "1000"]);
      const inUse = readdirSync(`/proc/${pid}/fd`).length;
      execFileSync("prlimit", [`--nofile=${inUse + 20}:`, "--pid", pid]);
      const sockets = await flood(60);
      // Refused for want of descriptors, or served by what was left: never the end.
      await guest.reply(CreateContainer, guest.request("short"));
      await guest.reply(RemoveContainer, { container_id: "stays" });
      await guest.rpc.call(Health.methods.Check, {}, { timeoutMs: patient(30_000) });
      await drop(sockets);
      execFileSync("prlimit", ["--nofile=20000:", "--pid", pid]);
      await alive();
      for (const container_id of ["short", "stays"]) await guest.reply(RemoveContainer, { container_id });
      await guest.print("after", ["true"]);
      expect(await guest.holdings()).toEqual(before);
    });
  }

  it("does not end the agent by taking all of its tasks", async () => {
    // That of the daemons, by the name that it has where the function runs.
    const limit = (to: "current" | "max"): Promise<null> =>
      guest.look(({ proc }, value) => {
        const fs = process.getBuiltinModule("node:fs");
        const groups = fs.readFileSync(`${proc}/cgroup`, "utf8");
        const legacy = /^\d+:pids:(.*)$/m.exec(groups)?.[1];
        const folder = legacy === undefined ? (/^0::(.*)$/m.exec(groups)?.[1] ?? "") : `/pids${legacy}`;
        const group = `/sys/fs/cgroup${folder}`;
        const text = value === "max" ? "max" : fs.readFileSync(`${group}/pids.current`, "utf8").trim();
        fs.writeFileSync(`${group}/pids.max`, text);
        return null;
      }, to);
    await limit("current");
    await alive();
    expect(await guest.reply(CreateContainer, guest.request("bomb"))).toMatchObject({ code: 13 });
    await alive();
    await limit("max");
    await guest.print("after", ["true"]);
    expect(await guest.holdings()).toEqual(before);
  });

  it("bears a thousand connections that begin a message of 4 MiB each", async () => {
    const sockets = await floodInTurns(1000);
    expect(sockets.filter(({ destroyed }) => destroyed)).toEqual([]);
    for (const socket of sockets) socket.write(Buffer.from([0, 0x40, 0, 0, 0, 0, 0, 1, 1, 0, 0x0a]));
    await alive();
    await drop(sockets);
    await alive();
  });

  it("stops to read from a caller that does not read", async () => {
    const [socket] = await flood(1);
    socket?.pause();
    const text = (tag: number, value: string): Buffer =>
      Buffer.concat([Buffer.from([tag, value.length]), Buffer.from(value)]);
    const payload = Buffer.concat([text(0x0a, "grpc.AgentService"), text(0x12, "GetGuestDetails")]);
    const frames = Array.from({ length: 20_000 }, (_, i) => {
      const header = Buffer.alloc(10);
      header.writeUInt32BE(payload.length, 0);
      header.writeUInt32BE(2 * i + 1, 4);
      header[8] = 1;
      return Buffer.concat([header, payload]);
    });
    socket?.write(Buffer.concat(frames));
    await alive();
    await drop(socket === undefined ? [] : [socket]);
    await alive();
  });

  it("keeps its policy through a storm of new ones, good, bad and large", async () => {
    const policy = await guest.text("/etc/kata-opa/default-policy.rego");
    const tries = [
      policy,
      "",
      "package other\n",
      "package agent_policy\nx := ",
      `${policy}x := ${"(".repeat(20_000)}1${")".repeat(20_000)}\n`,
      `${policy}${"# x\n".repeat(200_001)}`,
      `${policy}# ${"x".repeat(65_536)}\n`,
      `${policy}${"# xxxxxxxxxxxxxxxx\n".repeat(100_000)}`,
    ];
    const replies = await Promise.all([...tries, ...tries].map((text) => guest.reply(SetPolicy, { policy: text })));
    const codes = replies.map(({ code }) => code);
    expect(codes).toEqual([0, 3, 3, 3, 3, 3, 3, 0, 0, 3, 3, 3, 3, 3, 3, 0]);
    await alive();
  });

  it("takes the largest message there is", async () => {
    await guest.run("sink", ["sh", "-c", "cat > /dev/null"]);
    const data = Buffer.alloc((4 << 20) - 200, 0xff);
    expect(await guest.rpc.call(WriteStdin, { container_id: "sink", data })).toEqual({ len: data.length });
    await guest.remove("sink");
    expect(await guest.holdings()).toEqual(before);
  });

  it("is not made twice", async () => {
    await guest.run("inside", ["sleep", "1000"]);
    expect(await guest.reply(CreateSandbox, { hostname: "again" })).toMatchObject({ code: 13 });
    await guest.remove("inside");
    expect(await guest.reply(CreateSandbox, { hostname: "again" })).toMatchObject({ code: 13 });
    expect(await guest.holdings()).toEqual(before);
  });

  it("ends whole when its sandbox is destroyed while containers are being made, twice at once", async () => {
    await guest.run("running", ["sleep", "1000"]);
    const making = Promise.allSettled(
      [1, 2, 3].map((n) => guest.rpc.call(CreateContainer, guest.request(`late${n}`, { args: ["sleep", "1000"] }))),
    );
    await Promise.allSettled([1, 2].map(() => guest.rpc.call(DestroySandbox, {})));
    await making;
    await guest.guest.ended;
  });
});
