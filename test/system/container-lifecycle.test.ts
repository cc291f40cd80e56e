import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { describeError } from "../../packages/kata-agent/src/error.ts";
import { changed } from "../fixtures/changed.ts";
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

async function failure(promise: Promise<unknown>): Promise<{ code: unknown; text: string }> {
  try {
    await promise;
  } catch (error) {
    return { code: (error as { code: unknown }).code, text: describeError(error) };
  }
  throw new Error("succeeded");
}

describe("a container", () => {
  it("gives its output, its errors and its exit code", async () => {
    const container = await harness.run("echo out; echo err >&2; exit 7");
    expect(await output(container.init)).toBe("out\n");
    expect(await output(container.init, "stderr")).toBe("err\n");
    expect(await Promise.all([container.wait(container.id, never()), container.wait("", never())])).toEqual([7, 7]);
    expect(container.state).toBe("Stopped");
    expect(() => container.findProcess("")).toThrow("InvalidExecId");
  });

  it("waits for start, in the states that the host sees", async () => {
    const container = await harness.create("exit 0");
    expect(container.state).toBe("Created");
    await container.start();
    expect(await container.wait("", never())).toBe(0);
    expect(container.state).toBe("Stopped");
  });

  it("can open /dev/stdout again", async () => {
    const container = await harness.run("echo again > /dev/stdout; echo err > /dev/stderr");
    expect(await output(container.init)).toBe("again\n");
    expect(await output(container.init, "stderr")).toBe("err\n");
  });

  it("reads its input to the end", async () => {
    const container = await harness.run("cat; echo closed");
    expect(await container.init.writeStdin(Buffer.from("hello\n"), never())).toBe(6);
    expect(await outputUntil(container.init, "hello\n")).toBe("hello\n");
    expect(await container.init.writeStdin(new Uint8Array(0), never())).toBe(0);
    expect(await output(container.init)).toBe("closed\n");
    expect(await failure(container.init.writeStdin(Buffer.from("x"), never()))).toEqual({
      code: 13,
      text: "Cannot get writer",
    });
    container.init.closeStdin();
  });

  it("says that nobody reads its input any more", async () => {
    const container = await harness.run("exit 0");
    await container.init.exited;
    expect(await failure(container.init.writeStdin(Buffer.from("x"), never()))).toEqual({
      code: 13,
      text: "Broken pipe (os error 32)",
    });
  });

  it("reads at most what is asked for and nothing for nothing", async () => {
    const container = await harness.run("echo -n abcdef; sleep 1000");
    expect(await container.init.readStdout(0, never())).toHaveLength(0);
    expect(Buffer.from(await container.init.readStdout(4, never())).toString()).toBe("abcd");
    expect(Buffer.from(await container.init.readStdout(4_000_000_000, never())).toString()).toBe("ef");
  });

  it("keeps unread output in the pipe, also after a reader gave up", async () => {
    const container = await harness.run("read x; dd if=/dev/zero bs=1000 count=300 2>/dev/null");
    const gone = new AbortController();
    const reading = container.init.readStdout(10, gone.signal);
    gone.abort(new Error("client gone"));
    await expect(reading).rejects.toThrow("client gone");
    await container.init.writeStdin(Buffer.from("\n"), never());
    expect(await output(container.init)).toHaveLength(300_000);
    expect(await container.wait("", never())).toBe(0);
  });

  it("ends the output although a grandchild holds the pipe, and loses nothing that was written", async () => {
    // The grandchild is in another container's control, so it outlives the first process.
    const first = await harness.run("sleep 1000");
    const second = await harness.run(
      "echo kept; (sleep 1000) & exit 3",
      {},
      { namespaces: { pid: `/proc/${first.init.pid}/ns/pid` } },
    );
    await second.init.exited;
    expect(await output(second.init)).toBe("kept\n");
    expect(await second.wait("", never())).toBe(3);
    await harness.manager.remove(second.id, { timeoutMs: 0 });
    expect(first.state).toBe("Running");
  });

  it("runs in namespaces of its own with only its capabilities", async () => {
    const container = await harness.run(
      "echo $$; grep -h -E 'CapEff|NoNewPrivs' /proc/self/status; cat /proc/self/oom_score_adj; cat /proc/self/cgroup | head -n 3",
    );
    const text = await output(container.init);
    expect(text).toMatch(/^1\nCapEff:\t00000000000000e1\nNoNewPrivs:\t1\n1\n/);
    expect(text).toContain(`${harness.pod}/${container.id}`);
  });

  it("gets a terminal that can change its size", async () => {
    const container = await harness.run("echo up; while read x; do stty size; done", { process: { Terminal: true } });
    expect(await outputUntil(container.init, "up\r\n")).toBe("up\r\n");
    container.init.resize(33, 101);
    await container.init.writeStdin(Buffer.from("a\n"), never());
    expect(await outputUntil(container.init, "33 101\r\n")).toBe("a\r\n33 101\r\n");
    container.init.resize(70_000, 70_000);
    expect(await container.init.readStderr(10, never())).toHaveLength(0);
    container.init.closeStdin();
    container.signal("", 15);
    expect(await failure(output(container.init))).toEqual({ code: 13, text: "Input/output error (os error 5)" });
    // It has no handler for SIGTERM, which its namespace would keep from it: SIGKILL instead.
    expect(await container.wait("", never())).toBe(137);
  });

  it("has no terminal to resize unless asked for", async () => {
    const container = await harness.create("true");
    expect(() => container.init.resize(1, 1)).toThrow('"no tty"');
  });

  it("may be removed before it starts, and its id used again", async () => {
    await harness.create("true", {}, { id: "again" });
    await harness.manager.remove("again", { timeoutMs: 60_000 });
    const second = await harness.run("exit 4", {}, { id: "again" });
    expect(await second.wait("", never())).toBe(4);
  });

  it("is ended by its removal when it runs", async () => {
    const container = await harness.run("sleep 1000 & sleep 1000");
    const waiting = container.wait("", never());
    await harness.manager.remove(container.id, { timeoutMs: 60_000 });
    expect(await waiting).toBe(137);
    expect(harness.processes()).toEqual([]);
    expect(await failure(harness.manager.remove(container.id, { timeoutMs: 0 }))).toEqual({
      code: 13,
      text: "Invalid container id",
    });
  });

  it("hands its environment to nobody else and leaves no config.json", async () => {
    const container = await harness.run("echo $SECRET; sleep 1000", {
      process: { Env: ["PATH=/bin", "SECRET=s3cret"] },
    });
    expect(await outputUntil(container.init, "\n")).toBe("s3cret\n");
    expect(harness.leftovers().filter((line) => line.endsWith("config.json"))).toEqual([]);
    const state = join(harness.directory, "runtime", container.id, "state.json");
    expect(readFileSync(state, "utf8")).not.toContain("s3cret");
  });

  it("sets the network's parameters in the guest", async () => {
    const name = "net.ipv4.ip_unprivileged_port_start";
    const file = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    const before = readFileSync(file, "utf8").trim();
    const container = await harness.run("cat " + file, { linux: { Sysctl: { [name]: before } } });
    expect((await output(container.init)).trim()).toBe(before);
    expect(await failure(harness.create("true", { linux: { Sysctl: { "net.no.such": "1" } } }))).toEqual({
      code: 13,
      text: "sysctl net.no.such\n\nCaused by:\n    No such file or directory (os error 2)",
    });
  });

  it("takes a name of letters that the runtime does not know", async () => {
    const container = await harness.run("exit 5", {}, { id: "é1" });
    expect(await container.wait("", never())).toBe(5);
  });
});

describe("create fails without leftovers", () => {
  it.each([
    ["a missing program", { process: { Args: ["nosuchcmd"] } }, "the file nosuchcmd was not found"],
    ["a missing path", { process: { Args: ["/no/such/binary"] } }, "the file /no/such/binary was not found"],
    [
      "an absent root",
      { rootfs: "/no/such/root" },
      "/no/such/root\n\nCaused by:\n    No such file or directory (os error 2)",
    ],
    ["a root that is a link", { rootfs: "/proc/self/cwd" }, "root path /proc/self/cwd is a symbolic link"],
  ])("on %s", async (_, parts, text) => {
    expect(await failure(harness.create("true", parts))).toEqual({ code: 13, text });
    expect(harness.leftovers()).toEqual([]);
    expect(harness.manager.list()).toEqual([]);
  });

  it.each([
    ["an unknown file system", { destination: "/mnt", source: "x", type: "nosuchfs" }],
    ["an absent bind source", { destination: "/mnt", source: "/no/such", type: "bind", options: ["rbind"] }],
  ])("on %s, with the runtime's words", async (_, mount) => {
    const { code, text } = await failure(harness.create("true", { other: { Mounts: [mount] } }));
    expect(code).toBe(13);
    expect(text).toMatch(/^the runtime's create failed with exit status 1\n\nCaused by:\n.*no such (device|file)/is);
    expect(harness.leftovers()).toEqual([]);
  });

  it("when the caller has gone meanwhile", async () => {
    const gone = new AbortController();
    const root = join(harness.directory, "runtime");
    mkdirSync(root, { recursive: true, mode: 0o700 });
    const creating = harness.create("true", {}, { id: "gone", signal: gone.signal });
    creating.catch(() => undefined);
    // The runtime is in the middle of it.
    await changed(root, () => existsSync(join(root, "gone")));
    gone.abort(new Error("client gone"));
    await creating.then(
      () => harness.manager.remove("gone", { timeoutMs: 0 }),
      (error: unknown) => expect(describeError(error)).toBe("client gone"),
    );
    expect(harness.leftovers()).toEqual([]);
    const container = await harness.run("exit 6", {}, { id: "gone" });
    expect(await container.wait("", never())).toBe(6);
  });
});

describe("exec", () => {
  it("runs beside the first process in its namespaces and group", async () => {
    const container = await harness.run("sleep 1000");
    const process = await container.exec({
      execId: "e1",
      process: shell("echo $A; id -u; id -G; pwd; grep CapEff /proc/self/status; exit 3", {
        Env: ["PATH=/bin", "A=b"],
        Cwd: "/tmp",
        User: { UID: 0, GID: 0, AdditionalGids: [2000] },
      }),
    });
    expect(await output(process)).toBe("b\n0\n0 2000\n/tmp\nCapEff:\t00000000000000e1\n");
    expect(await container.wait("e1", never())).toBe(3);
    expect(container.process("e1")).toBeUndefined();
    expect(container.state).toBe("Running");
  });

  it("runs as a user without privileges", async () => {
    const container = await harness.run("sleep 1000");
    const process = await container.exec({
      execId: "e1",
      process: shell("id -u; id -g; echo hi > /dev/stdout", { User: { UID: 1000, GID: 1001 } }),
    });
    expect(await output(process)).toBe("1000\n1001\nhi\n");
  });

  it("gets input and a terminal", async () => {
    const container = await harness.run("sleep 1000");
    const piped = await container.exec({ execId: "in", process: shell("cat") });
    await piped.writeStdin(Buffer.from("one"), never());
    piped.closeStdin();
    expect(await output(piped)).toBe("one");
    const terminal = await container.exec({
      execId: "tty",
      process: shell("read x; stty size; exit 4", { Terminal: true }),
    });
    terminal.resize(5, 6);
    await terminal.writeStdin(Buffer.from("\n"), never());
    expect(await outputUntil(terminal, "5 6\r\n")).toContain("5 6\r\n");
    expect(await container.wait("tty", never())).toBe(4);
  });

  it("works before the start, and takes an empty name and empty arguments", async () => {
    const container = await harness.create("sleep 1000");
    await container.exec({ execId: "early", process: shell("exit 2") });
    expect(await container.wait("early", never())).toBe(2);
    const nameless = await container.exec({ execId: "", process: shell("exit 8") });
    expect(await nameless.exited).toBe(8);
    const bare = await container.exec({ execId: "bare", process: shell("", { Args: [] }) });
    bare.closeStdin();
    expect(await container.wait("bare", never())).toBe(0);
  });

  it("is refused with a reason", async () => {
    const container = await harness.run("sleep 1000");
    await container.exec({ execId: "e1", process: shell("sleep 1000") });
    const exec = (execId: string, json: object): Promise<unknown> =>
      container.exec({ execId, process: shell("true", json) });
    expect((await failure(exec("e1", {}))).text).toBe("exec_id 'e1' already exists");
    expect((await failure(exec(container.id, {}))).text).toBe(`exec_id '${container.id}' already exists`);
    expect((await failure(exec("e2", { Args: ["/no/such"] }))).text).toBe("the file /no/such was not found");
    expect((await failure(exec("e2", { Args: ["nosuch"] }))).text).toBe("the file nosuch was not found");
    expect((await failure(exec("e2", { Cwd: "/no/such/cwd" }))).code).toBe(13);
    expect(await failure(exec("e2", { Capabilities: { Bounding: ["CAP_X"] } }))).toEqual({
      code: 3,
      text: "unknown capability CAP_X",
    });
    container.signal("e1", 9);
    expect(await container.wait("e1", never())).toBe(137);
    await exec("e2", {});
    expect(await container.wait("e2", never())).toBe(0);
  });

  it("ends with its container", async () => {
    const container = await harness.run("read x");
    const process = await container.exec({ execId: "e1", process: shell("sleep 1000") });
    await container.init.writeStdin(Buffer.from("\n"), never());
    expect(await container.wait("", never())).toBe(0);
    expect(await process.exited).toBe(137);
    expect((await failure(container.exec({ execId: "late", process: shell("true") }))).text).toBe(
      "failed to exec: current status is: Stopped",
    );
  });
});
