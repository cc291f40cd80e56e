import { AgentService } from "@nacre/protocols";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { AttackedGuest } from "../fixtures/attacked-guest.ts";
import { GuestContainers, type GuestProcess, shell } from "../fixtures/guest-containers.ts";
import { GUEST_KIND } from "../fixtures/guest-kind.ts";

const { CreateContainer, ExecProcess, GetOOMEvent, RemoveContainer } = AgentService.methods;

const TRAPS = "trap 'echo term' TERM; trap 'echo usr1' USR1; echo ready; while :; do sleep 0.01; done";

/**
 * The cases of test/system/container-*.test.ts by the calls of a runtime: in a virtual machine they run with crun on
 * control groups of version 2, on a kernel of the guest's own.
 */
describe("containers in a guest", () => {
  let guest: AttackedGuest;
  let containers: GuestContainers;
  let before: Record<string, string[]>;
  let removal: string[] = [];
  beforeAll(async () => {
    guest = await AttackedGuest.start();
    containers = new GuestContainers(guest);
    before = await guest.holdings();
  });
  afterEach(async () => {
    const ids = (await guest.names("/run/kata-containers")).filter((name) => /^(?:c\d+|many-\d+|again)$/u.test(name));
    for (const container_id of [...ids, ...removal]) await guest.reply(RemoveContainer, { container_id });
    removal = [];
    expect(await guest.holdings()).toEqual(before);
  });
  afterAll(() => guest[Symbol.asyncDispose]());

  const refusal = async (work: Promise<unknown>): Promise<string> => {
    try {
      await work;
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error("expected a refusal, got none");
  };

  /** What /proc/self/cgroup says in it: on version 2 the group is the root of all that the container sees. */
  const groupOf = ({ ids }: GuestProcess): RegExp =>
    new RegExp(`^0::/$|^\\d+:memory:.*/kubepods/pod-test/${ids.container_id}$`, "mu");

  describe("a container", () => {
    it("gives its output, its errors and its exit code", async () => {
      const container = await containers.run("echo out; echo err >&2; read x; exit 7");
      // Both are under way before the end, whose first answer makes the agent forget the process.
      const waits = Promise.all([container.wait(), container.wait()]);
      expect(await container.until("\n")).toBe("out\n");
      expect(await container.read(100, "ReadStderr")).toBe("err\n");
      await container.write("\n");
      expect(await waits).toEqual([7, 7]);
      expect(await refusal(container.wait())).toBe("InvalidExecId");
    });

    it("can open /dev/stdout again", async () => {
      const container = await containers.run("echo again > /dev/stdout; echo err > /dev/stderr");
      expect(await container.output()).toBe("again\n");
      expect(await container.output("ReadStderr")).toBe("err\n");
    });

    it("reads its input to the end", async () => {
      const container = await containers.run("cat; echo closed");
      expect(await container.write("hello\n")).toBe(6);
      expect(await container.until("hello\n")).toBe("hello\n");
      await container.closeStdin();
      expect(await container.output()).toBe("closed\n");
      expect(await refusal(container.write("x"))).toBe("Cannot get writer");
    });

    it("reads at most what is asked for and nothing for nothing", async () => {
      const container = await containers.run("echo -n abcdef; sleep 1000");
      expect(await container.read(0)).toBe("");
      expect(await container.read(4)).toBe("abcd");
      expect(await container.read(4_000_000_000)).toBe("ef");
    });

    it("loses nothing of a long output", async () => {
      const container = await containers.run("dd if=/dev/zero bs=1000 count=300 2>/dev/null");
      expect(await container.output()).toHaveLength(300_000);
      expect(await container.wait()).toBe(0);
    });

    it("runs in namespaces of its own with only its capabilities, in its control group", async () => {
      const container = await containers.run(
        "echo $$; grep -h CapEff /proc/self/status; cat /proc/self/oom_score_adj; cat /proc/self/cgroup; id -u; hostname",
      );
      const text = await container.output();
      // Capabilities of fixtures/pod.ts; nothing of what keeps the OOM killer off the agent.
      expect(text).toMatch(/^1\nCapEff:\t00000000a80425fb\n1\n/u);
      expect(text).toMatch(groupOf(container));
      expect(text).toMatch(/\n0\nattacked\n$/u);
    });

    it("gets a terminal that can change its size", async () => {
      const container = await containers.run("echo up; while read x; do stty size; done", { terminal: true });
      expect(await container.until("up\r\n")).toBe("up\r\n");
      await container.resize(33, 101);
      await container.write("a\n");
      expect(await container.until("33 101\r\n")).toBe("a\r\n33 101\r\n");
      await container.signal(15, "");
      expect(await refusal(container.output())).toBe("Input/output error (os error 5)");
      expect(await container.wait()).toBe(137);
    });

    it("has no terminal to resize unless asked for", async () => {
      expect(await refusal((await containers.create("true")).resize(1, 1))).toBe('"no tty"');
    });

    it("may be removed before it starts, and its id used again", async () => {
      await (await containers.create("true", {}, "again")).remove();
      expect(await (await containers.run("exit 4", {}, "again")).wait()).toBe(4);
    });

    it("is ended by its removal when it runs, with all that it has started", async () => {
      const container = await containers.run("sleep 1000 & echo up; sleep 1000");
      await container.until("up\n");
      const waiting = container.wait();
      await container.remove();
      expect(await waiting).toBe(137);
      expect(await refusal(container.remove())).toContain("Invalid container id");
    });

    it("hands its environment to nobody else and leaves no config.json", async () => {
      const container = await containers.run("echo $SECRET; sleep 1000", { env: ["SECRET=s3cret"] });
      expect(await container.until("\n")).toBe("s3cret\n");
      expect(await guest.names(`/run/kata-containers/${container.ids.container_id}`)).not.toContain("config.json");
    });

    it("that cannot be made leaves nothing", async () => {
      for (const [parts, text] of [
        [{ args: ["nosuchcmd"] }, "the file nosuchcmd was not found"],
        [{ args: ["/no/such/binary"] }, "the file /no/such/binary was not found"],
        [{ cwd: "/proc/self/nothing" }, "nothing"],
        [{ mounts: [{ destination: "/mnt", source: "x", type: "nosuchfs" }] }, "runtime's create failed"],
      ] as const) {
        const reply = await guest.reply(CreateContainer, guest.request("failing", parts));
        expect(reply).toMatchObject({ code: 13, message: expect.stringContaining(text) as string });
        expect(await guest.holdings()).toEqual(before);
      }
    });
  });

  describe("an exec", () => {
    it("runs beside the first process in its namespaces and group", async () => {
      const container = await containers.run("sleep 1000");
      const process = await containers.exec(
        container,
        "e1",
        "echo $A; id -u; id -G; pwd; cat /proc/self/cgroup; exit 3",
        {
          Env: ["PATH=/bin", "A=b"],
          Cwd: "/tmp",
          User: { UID: 0, GID: 0, AdditionalGids: [2000] },
        },
      );
      const text = await process.output();
      expect(text).toMatch(/^b\n0\n0 2000\n\/tmp\n/u);
      expect(text).toMatch(groupOf(container));
      expect(await process.wait()).toBe(3);
    });

    it("runs as a user without privileges", async () => {
      const container = await containers.run("sleep 1000");
      const user = { User: { UID: 1000, GID: 1001 } };
      const process = await containers.exec(container, "e1", "id -u; id -g; echo hi > /dev/stdout", user);
      expect(await process.output()).toBe("1000\n1001\nhi\n");
    });

    it("gets input and a terminal", async () => {
      const container = await containers.run("sleep 1000");
      const piped = await containers.exec(container, "in", "cat");
      await piped.write("one");
      await piped.closeStdin();
      expect(await piped.output()).toBe("one");
      const terminal = await containers.exec(container, "tty", "read x; stty size; exit 4", { Terminal: true });
      await terminal.resize(5, 6);
      await terminal.write("\n");
      expect(await terminal.until("5 6\r\n")).toContain("5 6\r\n");
      expect(await terminal.wait()).toBe(4);
    });

    it("is refused with a reason", async () => {
      const container = await containers.run("sleep 1000");
      const { container_id } = container.ids;
      await containers.exec(container, "e1", "sleep 1000");
      const exec = (exec_id: string, over: object) =>
        guest.reply(ExecProcess, { container_id, exec_id, process: shell("true", over) });
      expect((await exec("e1", {})).message).toBe("exec_id 'e1' already exists");
      expect((await exec(container_id, {})).message).toBe(`exec_id '${container_id}' already exists`);
      expect((await exec("e2", { Args: ["/no/such"] })).message).toBe("the file /no/such was not found");
      expect((await exec("e2", { Cwd: "/no/such/cwd" })).code).toBe(13);
    });

    it("ends with its container", async () => {
      const container = await containers.run("read x");
      const process = await containers.exec(container, "e1", "sleep 1000");
      const ended = process.wait();
      await container.write("\n");
      expect(await container.wait()).toBe(0);
      expect(await ended).toBe(137);
      const { container_id } = container.ids;
      const late = { container_id, exec_id: "late", process: shell("true") };
      expect((await guest.reply(ExecProcess, late)).message).toBe("failed to exec: current status is: Stopped");
    });
  });

  describe("signals", () => {
    it("reach a first process that handles them", async () => {
      const container = await containers.run(TRAPS);
      await container.until("ready\n");
      await container.signal(15, "");
      expect(await container.until("term\n")).toBe("term\n");
      await container.signal(10);
      expect(await container.until("usr1\n")).toBe("usr1\n");
      expect(await refusal(container.signal(99))).toContain("EINVAL: Invalid argument");
    });

    it("make SIGTERM a SIGKILL where the first process would not notice it", async () => {
      const container = await containers.run("exec sleep 1000");
      await container.signal(15, "");
      expect(await container.wait()).toBe(137);
    });

    it("leave SIGTERM alone where it is ignored", async () => {
      const container = await containers.run("trap '' TERM; echo ready; read x; exit 9");
      await container.until("ready\n");
      await container.signal(15, "");
      await container.write("\n");
      expect(await container.wait()).toBe(9);
    });

    it("end everything in the container with SIGKILL and no name", async () => {
      const container = await containers.run("sleep 1000 & echo up; sleep 1000");
      await container.until("up\n");
      const process = await containers.exec(container, "e1", "sleep 1000");
      const ended = process.wait();
      await container.signal(9, "");
      expect(await container.wait()).toBe(137);
      expect(await ended).toBe(137);
      await container.signal(9, "");
    });
  });

  describe("pause", () => {
    it("stops what runs until it is resumed", async () => {
      const container = await containers.run("while read x; do echo got $x; done");
      await container.pause();
      await container.write("one\n");
      expect(await refusal(container.pause())).toContain("current status is: Paused");
      expect(await refusal(containers.exec(container, "e", "true"))).toContain("current status is: Paused");
      expect((await container.stats()).tasks).toBeGreaterThan(0n);
      await container.resume();
      expect(await container.until("\n")).toBe("got one\n");
      expect(await refusal(container.resume())).toContain("Running, not paused");
    });

    it("does not keep a container from being killed or removed", async () => {
      const killed = await containers.run("sleep 1000");
      await killed.pause();
      await killed.signal(9, "");
      expect(await killed.wait()).toBe(137);
      const removed = await containers.run("sleep 1000");
      await removed.pause();
      await removed.remove();
    });
  });

  describe("statistics and limits", () => {
    it("show what the container uses", async () => {
      const container = await containers.run("echo up; while :; do :; done", {
        resources: { Memory: { Limit: "134217728" }, Pids: { Limit: "32" } },
      });
      await container.until("up\n");
      const stats = await container.stats();
      expect(stats).toMatchObject({ memoryLimit: 134_217_728n, tasks: 1n, tasksLimit: 32n });
      expect(stats.cpu).toBeGreaterThan(0n);
      expect(stats.memory).toBeGreaterThan(0n);
      expect(stats.memoryDetails).toBeGreaterThan(10);
    });

    it("change while it runs, and can be read after the end", async () => {
      const container = await containers.run("read x", { resources: { Memory: { Limit: "134217728" } } });
      await container.update({
        Memory: { Limit: 67_108_864n },
        CPU: { Shares: 256n, Quota: 50_000n, Period: 100_000n },
        Pids: { Limit: 50n },
      });
      await container.update({});
      expect(await container.stats()).toMatchObject({ memoryLimit: 67_108_864n, tasksLimit: 50n });
      expect(await refusal(container.update({ CPU: { Quota: 1n, Period: 1n } }))).toMatch(
        /unable to write to a control group file cpu\.(cfs_quota_us|max)/u,
      );
      await container.write("\n");
      await container.wait();
      expect((await container.stats()).memoryLimit).toBe(67_108_864n);
    });

    it("tell when the container runs out of memory", async () => {
      const container = await containers.run(
        "read x; dd if=/dev/zero of=/dev/null bs=90M count=1 2>/dev/null; echo $?; sleep 1000",
        { resources: { Memory: { Limit: "8388608", Swap: "8388608" } } },
      );
      const oom = guest.rpc.call(GetOOMEvent, {});
      await container.write("\n");
      expect(await container.until("\n")).toBe("137\n");
      expect(await oom).toEqual({ container_id: container.ids.container_id });
    });
  });

  describe("many at once", () => {
    const count = GUEST_KIND === "qemu" ? 8 : 20;

    it("are created, run and removed side by side", async () => {
      const results = await Promise.all(
        Array.from({ length: count }, async (_, index) => {
          const container = await containers.run(`echo ${index}; exit ${index}`, {}, `many-${index}`);
          const text = await container.output();
          const code = await container.wait();
          await container.remove();
          return [text, code];
        }),
      );
      expect(results).toEqual(Array.from({ length: count }, (_, index) => [`${index}\n`, index]));
    });

    it("lose no exit while hundreds of orphans end", async () => {
      const container = await containers.run("sleep 1000");
      // Each inner shell is left by its parent at once and ends as a child of the container's first process.
      const storm = await containers.exec(
        container,
        "storm",
        "i=0; while [ $i -lt 300 ]; do (true &); i=$((i+1)); done; exit 5",
      );
      const codes = await Promise.all(
        Array.from({ length: 6 }, async (_, index) =>
          (await containers.exec(container, `s${index}`, `exit ${index}`)).wait(),
        ),
      );
      expect(codes).toEqual([0, 1, 2, 3, 4, 5]);
      expect(await storm.wait()).toBe(5);
    });
  });
});
