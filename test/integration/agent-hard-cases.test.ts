import { readdirSync } from "node:fs";
import { connect } from "node:net";
import { once } from "node:events";
import { join } from "node:path";

import { AgentService } from "@nacre/protocols";
import { TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";
import { afterEach, describe, expect, it } from "vitest";

import { type AgentOptions, startAgent, type TestAgent } from "../fixtures/agent-harness.ts";
import { ALLOW_ALL, containerRequest } from "../fixtures/agent-requests.ts";

const SHARED = "/run/kata-containers/shared/containers";
const {
  CopyFile,
  CreateContainer,
  CreateSandbox,
  DestroySandbox,
  GetGuestDetails,
  ReadStdout,
  RemoveContainer,
  SetPolicy,
  SignalProcess,
  StartContainer,
  WaitProcess,
  WriteStdin,
} = AgentService.methods;

let agent: TestAgent | undefined;
const clients: TtrpcClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await agent?.stop();
  agent = undefined;
});

async function connectAgain(): Promise<TtrpcClient> {
  const client = new TtrpcClient(await dial(`unix://${agent?.socket ?? ""}`));
  clients.push(client);
  return client;
}

async function start(options: Partial<AgentOptions> = {}): Promise<TtrpcClient> {
  agent = await startAgent({ policy: ALLOW_ALL, ...options });
  return connectAgain();
}

function inside(script: string): Promise<string> {
  if (agent === undefined) throw new Error("no agent");
  return agent.inside("/bin/sh", "-c", script);
}

const file = (path: string, size: number, over: { offset?: bigint; file_size?: bigint } = {}) => ({
  path: `${SHARED}/${path}`,
  data: Buffer.alloc(size, "x"),
  file_size: BigInt(size),
  file_mode: 0o100644,
  dir_mode: 0o755,
  ...over,
});

describe("a full disk", () => {
  it("fails a copy, which leaves nothing, and small ones still work", async () => {
    const rpc = await start();
    await rpc.call(CreateSandbox, {});
    await inside(`mkdir -p ${SHARED} && mount -t tmpfs -o size=64k tmpfs ${SHARED}`);
    await expect(rpc.call(CopyFile, file("big", 1 << 20))).rejects.toMatchObject({
      code: 13,
      message: expect.stringMatching(/^write_all_at\n\nCaused by:\n.*ENOSPC/s) as string,
    });
    expect(await inside(`ls -A ${SHARED}`)).toBe("");
    await rpc.call(CopyFile, file("small", 5));
  });

  it("fails a container, which leaves nothing, and the next one works", async () => {
    const rpc = await start();
    await rpc.call(CreateSandbox, {});
    await inside(
      "mount -t tmpfs -o size=64k tmpfs /run/kata-containers && dd if=/dev/zero of=/run/kata-containers/fill bs=64k count=1 2>/dev/null",
    );
    await expect(rpc.call(CreateContainer, containerRequest("c1", ["true"]))).rejects.toMatchObject({ code: 13 });
    expect(await inside("ls /run/kata-containers; grep -c kata-containers/c1 /proc/self/mountinfo || true")).toBe(
      "fill\n0\n",
    );
    await inside("rm /run/kata-containers/fill");
    await rpc.call(CreateContainer, containerRequest("c1", ["true"]));
  });
});

describe("a caller that vanishes", () => {
  it("in the middle of a copied file leaves the agent at work", async () => {
    const rpc = await start();
    await rpc.call(CreateSandbox, {});
    await rpc.call(CopyFile, file("part", 10, { file_size: 20n }));
    rpc.close();
    const again = await connectAgain();
    await again.call(CopyFile, file("part", 20));
    expect(await inside(`ls -A ${SHARED}`)).toBe("part\n");
  });

  it("in the middle of a frame leaves the agent at work", async () => {
    await start();
    const socket = connect(agent?.socket ?? "");
    await once(socket, "connect");
    socket.write(Buffer.from([0, 0, 4, 0, 0, 0, 0, 1, 1, 0, 1, 2, 3]));
    socket.destroy();
    await (await connectAgain()).call(GetGuestDetails, {});
  });

  it("while it writes to a container that does not read leaves the container at work", async () => {
    const rpc = await start();
    await rpc.call(CreateSandbox, {});
    await rpc.call(CreateContainer, containerRequest("c1", ["sh", "-c", "read x; echo $x; sleep 1000"]));
    await rpc.call(StartContainer, { container_id: "c1" });
    const writer = await connectAgain();
    const data = Buffer.concat([Buffer.from("begun\n"), Buffer.alloc(1 << 20, "y")]);
    const blocked = writer.call(WriteStdin, { container_id: "c1", exec_id: "c1", data });
    blocked.catch(() => undefined);
    const wait = rpc.call(WaitProcess, { container_id: "c1", exec_id: "c1" });
    const { data: read } = await rpc.call(ReadStdout, { container_id: "c1", exec_id: "c1", len: 100 });
    expect(Buffer.from(read).toString()).toBe("begun\n");
    writer.close();
    await expect(blocked).rejects.toBeInstanceOf(Error);
    await rpc.call(SignalProcess, { container_id: "c1", signal: 9 });
    expect(await wait).toEqual({ status: 137 });
    await rpc.call(RemoveContainer, { container_id: "c1" });
  });
});

describe("the policy in force", () => {
  it("can forbid its own replacement", async () => {
    const rpc = await start();
    const locked = ALLOW_ALL.replace("default SetPolicyRequest := true", "default SetPolicyRequest := false");
    await rpc.call(SetPolicy, { policy: locked });
    await expect(rpc.call(SetPolicy, { policy: ALLOW_ALL })).rejects.toMatchObject({
      code: 7,
      message: expect.stringContaining("SetPolicyRequest is blocked by policy") as string,
    });
    await rpc.call(GetGuestDetails, {});
  });

  it("stays when its successor does not parse", async () => {
    const rpc = await start();
    await expect(rpc.call(SetPolicy, { policy: "package agent_policy\ndefault X := " })).rejects.toMatchObject({
      code: 3,
    });
    await rpc.call(GetGuestDetails, {});
  });
});

describe("many at once", () => {
  it("makes, runs and removes containers side by side", async () => {
    const rpc = await start();
    await rpc.call(CreateSandbox, {});
    const ids = Array.from({ length: 8 }, (_, i) => `side${i}`);
    const outputs = await Promise.all(
      ids.map(async (id) => {
        await rpc.call(CreateContainer, containerRequest(id, ["echo", id]));
        await rpc.call(StartContainer, { container_id: id });
        const { data } = await rpc.call(ReadStdout, { container_id: id, exec_id: id, len: 100 });
        expect(await rpc.call(WaitProcess, { container_id: id, exec_id: id })).toEqual({ status: 0 });
        await rpc.call(RemoveContainer, { container_id: id });
        return Buffer.from(data).toString();
      }),
    );
    expect(outputs).toEqual(ids.map((id) => `${id}\n`));
    expect(await inside("ls /run/kata-containers; ls /run/kata-agent/runtime 2>/dev/null || true")).toBe("");
  });

  it("lets one of two creators of an id win, whole", async () => {
    const rpc = await start();
    await rpc.call(CreateSandbox, {});
    const results = await Promise.allSettled(
      [1, 2].map((n) => rpc.call(CreateContainer, containerRequest("same", ["echo", String(n)]))),
    );
    expect(results.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    await rpc.call(StartContainer, { container_id: "same" });
    expect(await rpc.call(WaitProcess, { container_id: "same" })).toEqual({ status: 0 });
  });
});

describe("the end of the sandbox", () => {
  it("takes running containers with it and ends the agent with status 0", async () => {
    const rpc = await start();
    await rpc.call(CreateSandbox, { dns: ["nameserver 192.0.2.1"] });
    await rpc.call(CreateContainer, containerRequest("c1", ["sleep", "1000"]));
    await rpc.call(StartContainer, { container_id: "c1" });
    const wait = rpc.call(WaitProcess, { container_id: "c1" });
    await rpc.call(DestroySandbox, {});
    expect(await wait).toEqual({ status: 137 });
    expect(await agent?.exited).toBe(0);
    expect(agent?.log()).toContain("the agent ends");
  });

  it("is also what SIGTERM is answered with, socket removed", async () => {
    await start();
    expect(await inside("ls /run/vsock")).toBe("1024.sock\n");
    await inside("kill -TERM $(cat /proc/1/task/1/children)");
    expect(await agent?.exited).toBe(0);
    expect(readdirSync(join(agent?.state ?? "", "vsock"))).toEqual([]);
  });
});

describe("the log port", () => {
  it("offers the log as JSON lines, those before the reader came too", async () => {
    await start({ config: 'guest_components_procs = "none"\nlog_vport = 1025\n' });
    const socket = connect(join(agent?.state ?? "", "vsock/1025.sock"));
    let text = "";
    while (!text.includes("\n")) text += String((await once(socket, "data"))[0]);
    socket.destroy();
    const [first] = text.split("\n");
    expect(JSON.parse(first ?? "")).toMatchObject({
      msg: "announce",
      level: "INFO",
      name: "kata-agent",
      source: "agent",
    });
    // Its output is whole when it has ended.
    await agent?.stop();
    expect(agent?.log()).not.toContain("announce");
  });
});

describe("a start that cannot be", () => {
  it.each<[string, Partial<AgentOptions>, RegExp]>([
    [
      "a policy that does not parse",
      { policy: "package agent_policy\ndefault X := " },
      /kata-agent: policy .*expecting expression/s,
    ],
    ["a setting that makes no sense", { config: "image_pull_timeout = 5\n" }, /expected a table/],
    ["a configuration that is not TOML", { config: "= =" }, /not TOML/],
  ])("ends with status 1 before the port opens: %s", async (_what, options, text) => {
    await expect(start(options)).rejects.toThrow(text);
  });
});
