import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GoCallError, GoClient } from "../fixtures/go-client.ts";
import { patient } from "../fixtures/guest-kind.ts";
import { createContainerBody, createSandboxBody, processBody } from "../fixtures/pod.ts";
import { startTestGuest, type TestGuest } from "../fixtures/test-guest.ts";

const AGENT = "grpc.AgentService";
const SANDBOX = "e2e-sandbox-0001";

/** Everything but one exec command; SetPolicy stays open so that the run can put this policy in force itself. */
const POLICY = `package agent_policy

default AllowRequestsFailingPolicy := false
default CloseStdinRequest := true
default CopyFileRequest := true
default CreateContainerRequest := true
default CreateSandboxRequest := true
default DestroySandboxRequest := true
default GetOOMEventRequest := true
default GuestDetailsRequest := true
default PauseContainerRequest := true
default ReadStreamRequest := true
default RemoveContainerRequest := true
default RemoveStaleVirtiofsShareMountsRequest := true
default ResumeContainerRequest := true
default SetPolicyRequest := false
default SignalProcessRequest := true
default StartContainerRequest := true
default StatsContainerRequest := true
default TtyWinResizeRequest := true
default UpdateContainerRequest := true
default WaitProcessRequest := true
default WriteStreamRequest := true
default ExecProcessRequest := false

ExecProcessRequest if {
  input.process.Args[0] == "/bin/echo"
}

ExecProcessRequest if {
  print("only echo may be run, not", input.process.Args[0])
  false
}
`;

describe("a guest driven by containerd's Go ttRPC client", () => {
  let guest: TestGuest;
  let go: GoClient;
  const call = <T = Record<string, unknown>>(
    method: string,
    body: object = {},
    timeoutMs = patient(60_000),
  ): Promise<T> => go.call<T>(AGENT, method, body, { timeoutMs });

  /** Reads a stream as the runtime does: until an empty read, or until a terminal's end. */
  const readAll = async (method: "ReadStdout" | "ReadStderr", container_id: string, exec_id = container_id) => {
    let text = "";
    for (;;) {
      let data: string | undefined;
      try {
        data = (await go.call<{ data?: string }>(AGENT, method, { container_id, exec_id, len: 32768 })).data;
      } catch (error) {
        if (error instanceof GoCallError && error.message.includes("os error 5")) return text;
        throw error;
      }
      if (data === undefined || data === "") return text;
      text += Buffer.from(data, "base64").toString("utf8");
    }
  };
  const waitFor = async (container_id: string, exec_id = container_id): Promise<number> =>
    (await go.call<{ status?: number }>(AGENT, "WaitProcess", { container_id, exec_id })).status ?? 0;
  const write = (container_id: string, text: string, exec_id = container_id) =>
    call("WriteStdin", { container_id, exec_id, data: Buffer.from(text).toString("base64") });
  const create = async (id: string, args: string[], terminal = false): Promise<void> => {
    await call(
      "CreateContainer",
      createContainerBody({ id, sandboxId: SANDBOX, image: guest.image, args, terminal, cwd: "/tmp" }),
    );
    await call("StartContainer", { container_id: id });
  };
  const refused = async (work: Promise<unknown>): Promise<GoCallError> => {
    try {
      await work;
    } catch (error) {
      if (error instanceof GoCallError) return error;
      throw error;
    }
    throw new Error("expected a status, got a reply");
  };

  beforeAll(async () => {
    guest = await startTestGuest({ policy: "allow-set" });
    go = await GoClient.connect(guest.agentAddress);
  });
  afterAll(async () => {
    await go?.close();
    await guest?.stop();
  });

  it("answers Check and Version before any policy", async () => {
    expect(await go.call("grpc.Health", "Check", {}, { timeoutMs: patient(30_000), emitDefaults: true })).toEqual({
      status: "SERVING",
    });
    expect(await go.call("grpc.Health", "Version")).toEqual({ agent_version: "4.1.0", grpc_version: "0.0.1" });
  });

  it("refuses what the policy in the image does not name", async () => {
    const error = await refused(call("CreateSandbox", createSandboxBody(SANDBOX, "e2e")));
    expect(error.code).toBe(13);
    expect(error.message).toContain("CreateSandboxRequest");
  });

  it("takes a policy once", async () => {
    await call("SetPolicy", { policy: POLICY });
    const again = await refused(call("SetPolicy", { policy: POLICY }));
    expect(again.code).toBe(7);
    expect(again.message).toBe('"SetPolicyRequest is blocked by policy: "');
  });

  it("makes the sandbox with its pause container", async () => {
    await call("CreateSandbox", createSandboxBody(SANDBOX, "e2e"), 300_000);
    const details = await call<{ agent_details: { version: string; storage_handlers: string[] } }>("GetGuestDetails", {
      mem_block_size: true,
      mem_hotplug_probe: true,
    });
    expect(details.agent_details.version).toBe("4.1.0");
    expect(details.agent_details.storage_handlers).toEqual(["ephemeral", "image_guest_pull", "local"]);
    await call(
      "CreateContainer",
      createContainerBody({ id: SANDBOX, sandboxId: SANDBOX, image: "pause", args: ["/pause"] }),
    );
    await call("StartContainer", { container_id: SANDBOX });
  });

  it("pulls an image from docker-registry inside the guest and runs it", async () => {
    await create("hello", ["sh", "-c", "echo out; echo err >&2; exit 7"]);
    // The runtime waits only after both streams ended: the reply to WaitProcess forgets the process.
    const [out, err] = await Promise.all([readAll("ReadStdout", "hello"), readAll("ReadStderr", "hello")]);
    const status = await waitFor("hello");
    expect({ out, err, status }).toEqual({ out: "out\n", err: "err\n", status: 7 });
    expect((await refused(go.call(AGENT, "WaitProcess", { container_id: "hello", exec_id: "hello" }))).code).toBe(5);
    await call("RemoveContainer", { container_id: "hello" });
  });

  it("passes standard input and its end", async () => {
    await create("cat", ["cat"]);
    const out = readAll("ReadStdout", "cat");
    expect(await write("cat", "line one\n")).toEqual({ len: 9 });
    await write("cat", "line two\n");
    await call("CloseStdin", { container_id: "cat", exec_id: "cat" });
    expect(await out).toBe("line one\nline two\n");
    expect(await waitFor("cat")).toBe(0);
    await call("RemoveContainer", { container_id: "cat" });
  });

  it("gives a terminal and resizes it", async () => {
    await create("shell", ["sh"], true);
    const out = readAll("ReadStdout", "shell");
    await call("TtyWinResize", { container_id: "shell", exec_id: "shell", row: 40, column: 120 });
    await write("shell", "stty size; tty; exit 3\n");
    const text = await out;
    expect(await waitFor("shell")).toBe(3);
    expect(text).toContain("40 120");
    expect(text).toContain("/dev/");
    await call("RemoveContainer", { container_id: "shell" });
  });

  describe("with a long-running container", () => {
    beforeAll(() => create("main", ["sleep", "1000"]));

    it("runs an allowed exec", async () => {
      const ids = { container_id: "main", exec_id: "exec-1" };
      await call("ExecProcess", { ...ids, process: processBody({ args: ["/bin/echo", "exec says hi"] }) });
      expect(await readAll("ReadStdout", "main", "exec-1")).toBe("exec says hi\n");
      expect(await waitFor("main", "exec-1")).toBe(0);
    });

    it("refuses an exec that the policy does not name, with the policy's own words", async () => {
      const process = processBody({ args: ["/bin/cat", "/etc/hosts"] });
      const error = await refused(call("ExecProcess", { container_id: "main", exec_id: "exec-2", process }));
      expect(error.code).toBe(7);
      expect(error.message).toMatch(
        /^"ExecProcessRequest is blocked by policy: .*only echo may be run, not \/bin\/cat"$/u,
      );
    });

    it("tells statistics", async () => {
      const stats = await call<{
        cgroup_stats: { memory_stats: { usage: { usage?: string } }; pids_stats: { current: string } };
      }>("StatsContainer", { container_id: "main" });
      expect(Number(stats.cgroup_stats.memory_stats.usage.usage)).toBeGreaterThan(0);
      expect(stats.cgroup_stats.pids_stats.current).toBe("1");
    });

    it("pauses and resumes, and refuses an exec in between", async () => {
      await call("PauseContainer", { container_id: "main" });
      const process = processBody({ args: ["/bin/echo", "never"] });
      const error = await refused(call("ExecProcess", { container_id: "main", exec_id: "exec-3", process }));
      expect(error.code).toBe(13);
      await call("StatsContainer", { container_id: "main" });
      await call("ResumeContainer", { container_id: "main" });
      await call("ExecProcess", {
        container_id: "main",
        exec_id: "exec-4",
        process: processBody({ args: ["/bin/echo", "again"] }),
      });
      expect(await readAll("ReadStdout", "main", "exec-4")).toBe("again\n");
      expect(await waitFor("main", "exec-4")).toBe(0);
    });

    it("updates limits", async () => {
      await call("UpdateContainer", {
        container_id: "main",
        resources: { Memory: { Limit: "100663296", Swap: "100663296" } },
      });
      const stats = await call<{ cgroup_stats: { memory_stats: { usage: { limit?: string } } } }>("StatsContainer", {
        container_id: "main",
      });
      expect(stats.cgroup_stats.memory_stats.usage.limit).toBe("100663296");
    });

    it("does not freeze when the container is started twice or its id is used again", async () => {
      expect((await refused(call("StartContainer", { container_id: "main" }, patient(30_000)))).code).toBe(13);
      const again = createContainerBody({ id: "main", sandboxId: SANDBOX, image: guest.image, args: ["true"] });
      expect((await refused(call("CreateContainer", again))).code).toBe(13);
      await call("StatsContainer", { container_id: "main" });
    });

    it("signals: TERM to an init process that ignores nothing ends it", async () => {
      const status = waitFor("main");
      await call("SignalProcess", { container_id: "main", signal: 15 });
      expect(await status).toBe(137);
      await call("SignalProcess", { container_id: "main", signal: 9 });
      await call("RemoveContainer", { container_id: "main" });
      expect((await refused(call("StatsContainer", { container_id: "main" }))).message).toBe('"invalid container id"');
    });
  });

  it("a caller that vanishes in the middle of a write leaves the agent able", async () => {
    await create("victim", ["sh", "-c", "read x; echo $x; sleep 1000"]);
    const other = await GoClient.connect(guest.agentAddress);
    const big = Buffer.concat([Buffer.from("begun\n"), Buffer.alloc(1 << 20, 0x61)]).toString("base64");
    const ids = { container_id: "victim", exec_id: "victim" };
    const lost = other.call(AGENT, "WriteStdin", { ...ids, data: big });
    lost.catch(() => {});
    const { data } = await call<{ data: string }>("ReadStdout", { ...ids, len: 100 });
    expect(Buffer.from(data, "base64").toString()).toBe("begun\n");
    await other.kill();
    await expect(lost).rejects.toThrow();
    await call("SignalProcess", { container_id: "victim", signal: 9 });
    expect(await waitFor("victim")).toBe(137);
    await call("RemoveContainer", { container_id: "victim" });
  });

  it("ends with the sandbox", async () => {
    const oom = refused(go.call(AGENT, "GetOOMEvent"));
    await call("SignalProcess", { container_id: SANDBOX, signal: 9 });
    await waitFor(SANDBOX);
    await call("RemoveContainer", { container_id: SANDBOX });
    await call("RemoveStaleVirtiofsShareMounts");
    await call("DestroySandbox");
    expect((await oom).code).toBe(13);
    await guest.ended;
  });
});
