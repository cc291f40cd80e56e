import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Process } from "../../packages/kata-agent/src/container/index.ts";
import { describeError } from "../../packages/kata-agent/src/error.ts";
import { fromJson, type grpc } from "@nacre/protocols";
import { ContainerHarness, never, output, outputUntil, shell } from "./container-harness.ts";

let harness: ContainerHarness;
beforeAll(() => {
  harness = new ContainerHarness();
});
afterEach(async () => {
  for (const { id } of harness.manager.list()) await harness.manager.remove(id, { timeoutMs: 0 });
  expect(harness.leftovers()).toEqual([]);
});
afterAll(async () => {
  expect(await harness.close()).toEqual([]);
});

async function refusal(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return describeError(error);
  }
  throw new Error("succeeded");
}

function resources(json: object): grpc.LinuxResources {
  return fromJson("grpc.LinuxResources", json) as grpc.LinuxResources;
}

const TRAPS = "trap 'echo term' TERM; trap 'echo usr1' USR1; echo ready; while :; do sleep 0.01; done";

describe("signals", () => {
  it("reach a first process that handles them", async () => {
    const container = await harness.run(TRAPS);
    await outputUntil(container.init, "ready\n");
    container.signal("", 15);
    expect(await outputUntil(container.init, "term\n")).toBe("term\n");
    container.signal(container.id, 10);
    expect(await outputUntil(container.init, "usr1\n")).toBe("usr1\n");
    container.signal("", 0);
    expect(() => container.signal("", 99)).toThrow("EINVAL: Invalid argument");
    expect(container.state).toBe("Running");
  });

  it("make SIGTERM a SIGKILL where the first process would not notice it", async () => {
    const container = await harness.run("sleep 1000", { process: { Args: ["sleep", "1000"] } });
    container.signal("", 15);
    expect(await container.wait("", never())).toBe(137);
  });

  it("leave SIGTERM alone where it is ignored", async () => {
    const container = await harness.run("trap '' TERM; echo ready; read x; exit 9");
    await outputUntil(container.init, "ready\n");
    container.signal("", 15);
    await container.init.writeStdin(Buffer.from("\n"), never());
    expect(await container.wait("", never())).toBe(9);
  });

  it("end everything in the container with SIGKILL and no name", async () => {
    const container = await harness.run("sleep 1000 & sleep 1000");
    const process = await container.exec({ execId: "e1", process: shell("sleep 1000") });
    container.signal("", 9);
    expect(await container.wait("", never())).toBe(137);
    expect(await process.exited).toBe(137);
    expect(harness.processes()).toEqual([]);
    // Collected: nothing left to signal is no error (golden run/signal-all-after), one by name is.
    container.signal("", 9);
    expect(() => container.signal(container.id, 15)).toThrow("InvalidExecId");
  });

  it("end only their own container where the pid namespace is shared", async () => {
    const first = await harness.run("sleep 1000");
    const second = await harness.run(
      "sleep 1000 & echo up; sleep 1000",
      {},
      {
        namespaces: { pid: `/proc/${first.init.pid}/ns/pid` },
      },
    );
    await outputUntil(second.init, "up\n");
    expect(second.cgroup.processes().length).toBeGreaterThan(1);
    second.signal("", 9);
    expect(await second.wait("", never())).toBe(137);
    await harness.manager.remove(second.id, { timeoutMs: 0 });
    expect(first.state).toBe("Running");
    expect(first.cgroup.processes()).toHaveLength(1);
  });
});

describe("pause", () => {
  it("stops what runs until it is resumed", async () => {
    const container = await harness.run("while read x; do echo got $x; done");
    await container.pause();
    expect(container.state).toBe("Paused");
    await container.init.writeStdin(Buffer.from("one\n"), never());
    expect(await refusal(container.pause())).toBe("failed to pause container: current status is: Paused");
    expect(await refusal(container.exec({ execId: "e", process: shell("true") }))).toBe(
      "failed to exec: current status is: Paused",
    );
    expect(container.stats().cgroup_stats.pids_stats.current).toBeGreaterThan(0n);
    await container.resume();
    expect(await outputUntil(container.init, "\n")).toBe("got one\n");
    expect(await refusal(container.resume())).toBe("container status is: Running, not paused");
  });

  it("works before the start and is nothing after the end", async () => {
    const container = await harness.create("exit 0");
    await container.pause();
    expect(await refusal(container.start())).toBe("failed to start container: current status is: Paused");
    await container.resume();
    await container.start();
    expect(await container.wait("", never())).toBe(0);
    await container.pause();
    expect(container.state).toBe("Stopped");
  });

  it("does not keep a container from being killed or removed", async () => {
    const killed = await harness.run("sleep 1000");
    await killed.pause();
    killed.signal("", 9);
    expect(await killed.wait("", never())).toBe(137);
    const removed = await harness.run("sleep 1000");
    await removed.pause();
    await harness.manager.remove(removed.id, { timeoutMs: 60_000 });
    expect(harness.processes()).toEqual([]);
  });
});

describe("where the real agent hangs or destroys", () => {
  it("a second start is an error and nothing waits", async () => {
    const container = await harness.run("echo up; read x");
    // Its first output: until then the runtime's own threads may be what is counted.
    expect(Buffer.from(await container.init.readStdout(3, never())).toString()).toBe("up\n");
    expect(await refusal(container.start())).toBe("failed to start container: current status is: Running");
    expect(container.stats().cgroup_stats.pids_stats.current).toBe(1n);
    await container.init.writeStdin(Buffer.from("\n"), never());
    await container.wait("", never());
    expect(await refusal(container.start())).toBe("failed to start container: current status is: Stopped");
  });

  it("an id in use is refused and the running container lives on", async () => {
    const container = await harness.run("read x; exit 11", {}, { id: "dup" });
    expect(await refusal(harness.create("true", {}, { id: "dup" }))).toBe(
      "exec fifo exists\n\nCaused by:\n    container id dup is in use",
    );
    expect(await refusal(harness.create("true", { linux: { CgroupsPath: `${harness.pod}/dup` } }))).toBe(
      `control group ${harness.pod}/dup is that of container dup`,
    );
    await container.init.writeStdin(Buffer.from("\n"), never());
    expect(await container.wait("", never())).toBe(11);
  });

  it("removal while an exec runs and output is unread does not wait", async () => {
    const container = await harness.run("while :; do echo full full full full; done");
    const process = await container.exec({ execId: "e1", process: shell("while :; do echo full; done") });
    const read = async (from: Process): Promise<string> => Buffer.from(await from.readStdout(4, never())).toString();
    // Both write: what is not read of a line is still there when they are ended.
    expect(await Promise.all([read(container.init), read(process)])).toEqual(["full", "full"]);
    const reading = read(container.init);
    await harness.manager.remove(container.id, { timeoutMs: 60_000 });
    expect(await reading).toBe(" ful");
    expect(harness.manager.get(container.id)).toBeUndefined();
  });

  it("a client that vanishes in the middle of a write leaves the stream usable", async () => {
    const container = await harness.run("read go; head -c 1000000 > /dev/null; echo ok");
    const gone = new AbortController();
    const writing = container.init.writeStdin(Buffer.alloc(1_000_000, "x\n"), gone.signal);
    gone.abort(new Error("client gone"));
    await expect(writing).rejects.toThrow("client gone");
    await container.init.writeStdin(Buffer.alloc(1_000_100, "x\n"), never()).catch(() => 0);
    expect(await output(container.init)).toBe("ok\n");
  });
});

describe("statistics and limits", () => {
  it("show what the container uses", async () => {
    const container = await harness.run("echo up; while :; do :; done", {
      linux: { Resources: { Memory: { Limit: "134217728" }, Pids: { Limit: "32" } } },
    });
    // Until the runtime's process has become the shell, its threads are tasks of the group, too.
    expect(Buffer.from(await container.init.readStdout(3, never())).toString()).toBe("up\n");
    const { cgroup_stats: stats, network_stats: network } = container.stats();
    expect(network).toEqual([]);
    expect(stats.cpu_stats.cpu_usage.total_usage).toBeGreaterThan(0n);
    expect(stats.memory_stats.usage.usage).toBeGreaterThan(0n);
    expect(stats.memory_stats.usage.limit).toBe(134_217_728n);
    expect(Object.keys(stats.memory_stats.stats).length).toBeGreaterThan(10);
    expect(stats.pids_stats).toEqual({ current: 1n, limit: 32n });
  });

  it("can still be read after the end, and change while it runs", async () => {
    const container = await harness.run("read x", { linux: { Resources: { Memory: { Limit: "134217728" } } } });
    await container.update(
      resources({
        Memory: { Limit: "67108864" },
        CPU: { Shares: "256", Quota: "50000", Period: "100000" },
        Pids: { Limit: "50" },
      }),
    );
    await container.update(resources({}));
    await container.update(null);
    await container.update(resources({ CPU: { Cpus: "banana" }, Devices: [{ Access: "rwm" }] }));
    expect(container.stats().cgroup_stats).toMatchObject({
      memory_stats: { usage: { limit: 67_108_864n } },
      pids_stats: { limit: 50n },
    });
    expect(await refusal(container.update(resources({ CPU: { Quota: "1", Period: "1" } })))).toMatch(
      /^unable to write to a control group file cpu\.(cfs_quota_us, value 1|max, value 1 1)\n\nCaused by:\n {4}Invalid argument \(os error 22\)$/,
    );
    await container.init.writeStdin(Buffer.from("\n"), never());
    await container.wait("", never());
    expect(container.stats().cgroup_stats.memory_stats.usage.limit).toBe(67_108_864n);
  });

  it("tell when the container runs out of memory", async () => {
    const container = await harness.run(
      "read x; dd if=/dev/zero of=/dev/null bs=90M count=1 2>/dev/null; echo $?; sleep 1000",
      {
        linux: { Resources: { Memory: { Limit: "8388608", Swap: "8388608" } } },
      },
    );
    await container.init.writeStdin(Buffer.from("\n"), never());
    expect(await outputUntil(container.init, "\n")).toBe("137\n");
    expect(await harness.nextOom).toBe(container.id);
  });
});

describe("many at once", () => {
  it("twenty containers are created, run and removed side by side", async () => {
    const codes = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const container = await harness.run(`echo ${index}; exit ${index}`, {}, { id: `many-${index}` });
        const text = await output(container.init);
        const code = await container.wait("", never());
        await harness.manager.remove(container.id, { timeoutMs: 0 });
        return [text, code];
      }),
    );
    expect(codes).toEqual(Array.from({ length: 20 }, (_, index) => [`${index}\n`, index]));
  });

  it("no exit is lost while a thousand orphans end", async () => {
    const container = await harness.run("sleep 1000");
    // Each inner shell is left by its parent at once and ends as a child of this process, the subreaper.
    const storm = spawn("/bin/busybox", [
      "sh",
      "-c",
      "i=0; while [ $i -lt 1000 ]; do (true &); i=$((i+1)); done; exit 5",
    ]);
    const stormed = once(storm, "exit");
    const codes = await Promise.all(
      Array.from({ length: 12 }, async (_, index) => {
        await container.exec({ execId: `s${index}`, process: shell(`exit ${index}`) });
        return container.wait(`s${index}`, never());
      }),
    );
    expect(codes).toEqual(Array.from({ length: 12 }, (_, index) => index));
    expect(await stormed).toEqual([5, null]);
  });
});
