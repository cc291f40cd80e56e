import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NACRE, NacreCommand } from "../fixtures/nacre-command.ts";
import { startTestGuest, type TestGuest } from "../fixtures/test-guest.ts";

/** Everything but processes other than echo; replaces what the guest was started with. */
const POLICY = `package agent_policy

default CloseStdinRequest := true
default CreateContainerRequest := true
default CreateSandboxRequest := true
default ExecProcessRequest := false
default ReadStreamRequest := true
default RemoveContainerRequest := true
default SetPolicyRequest := true
default SignalProcessRequest := true
default StartContainerRequest := true
default StatsContainerRequest := true
default TtyWinResizeRequest := true
default WaitProcessRequest := true
default WriteStreamRequest := true

ExecProcessRequest if input.process.Args[0] == "echo"

ExecProcessRequest if {
  print("only echo, not", input.process.Args[0])
  false
}
`;

interface Listed {
  readonly name: string;
  readonly status: string;
  readonly guest: string;
  readonly image: string;
}

describe("nacre with containers", () => {
  let state: string;
  let guest: TestGuest;
  let nacre: NacreCommand;
  const names = async (): Promise<Record<string, string>> =>
    Object.fromEntries((await nacre.json<Listed[]>(["ps", "--json"])).map(({ name, status }) => [name, status]));

  beforeAll(async () => {
    state = mkdtempSync(join(tmpdir(), "nacre-cli-"));
    nacre = new NacreCommand(state);
    guest = await startTestGuest({ stateRoot: state });
  });
  afterAll(async () => {
    await guest?.stop();
    rmSync(state, { recursive: true, force: true });
  });

  it("two commands at once make the one sandbox that both need", async () => {
    const runs = ["one", "two"].map((word) => nacre.run(["run", "--rm", guest.image, "--", "echo", word]));
    expect((await Promise.all(runs)).map(({ stderr, stdout }) => stderr + stdout)).toEqual(["one\n", "two\n"]);
  });

  it("run gives the output apart and the container's own status", async () => {
    const result = await nacre.run(["run", "--rm", guest.image, "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    expect(result).toEqual({ status: 7, stdout: "out\n", stderr: "err\n" });
    expect(await names()).toEqual({});
  });

  it("run takes command, path and directory from the image, and what the user adds", async () => {
    // The image's command is a shell, which reads what we pass.
    const script = "echo $GREETING $PWD; id -u; id -g; which id\n";
    const args = ["run", "--rm", "-i", "-e", "GREETING=hi", "--user", "1000:100", "-w", "/tmp", guest.image];
    expect(await nacre.run(args, script)).toEqual({ status: 0, stdout: "hi /tmp\n1000\n100\n/bin/id\n", stderr: "" });
  });

  it("run --json tells all of it in one document", async () => {
    const script = ["--", "sh", "-c", "echo out; echo err >&2"];
    const args = ["run", "--json", "--rm", "--name", "told", guest.image, ...script];
    const result = await nacre.json<Record<string, unknown>>(args);
    expect(result).toEqual({
      guest: guest.guest.id,
      name: "told",
      id: expect.stringMatching(/^[0-9a-f]{64}$/u),
      status: 0,
      stdout: "out\n",
      stderr: "err\n",
    });
  });

  it("standard input passes unchanged, also more than pipes hold", async () => {
    const text = `${"0123456789abcdef".repeat(64)}\n`.repeat(300);
    const result = await nacre.run(["run", "--rm", "-i", guest.image, "--", "cat"], text);
    expect(result.status).toBe(0);
    expect(result.stdout === text).toBe(true);
  });

  it("a terminal has our size, and keys reach it", async () => {
    const shell = [...NACRE, "run", "--rm", "-it", guest.image].map((word) => `'${word}'`).join(" ");
    // Afterwards: whether the terminal is as it was before. The last line is waited for, as `script` is not patient.
    const inside = `sh -c 'stty size; read line; echo "got $line"'`;
    const after = "stty | grep -q -- -icanon || echo cooked; echo over; read end; exit $s";
    const command = `stty rows 30 cols 100; ${shell} -- ${inside}; s=$?; ${after}`;
    const { child, result, shows } = nacre.start(["-qec", command, "/dev/null"], ["script"]);
    await shows("30 100");
    child.stdin?.write("keys\r");
    await shows("over\r\n");
    child.stdin?.write("\r");
    const { status, stdout } = await result;
    expect(stdout).toContain("got keys");
    expect(stdout).toContain("\r\ncooked\r\nover\r\n");
    expect(status).toBe(0);
  });

  it("what cannot run: a status of its own, one line, no stack", async () => {
    const missing = `${guest.registry.address}/absent:latest`;
    const refused = await nacre.run(["run", missing, "--", "true"]);
    expect(refused).toMatchObject({ status: 125, stdout: "" });
    expect(refused.stderr).toMatch(/^nacre: image .*\/absent:latest: .*\n$/u);
    const noProgram = await nacre.run(["run", "--rm", guest.image, "--", "no-such-program"]);
    expect(noProgram.status).toBe(125);
    expect(noProgram.stderr).toMatch(/^nacre: (?:Create|Start)Container: [^]*no-such-program/u);
    expect(noProgram.stderr).not.toMatch(/\n\s+at /u);
    expect(await names()).toEqual({});
  });

  it("a signal goes to the process", async () => {
    const script = "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 1; done";
    const { child, result, shows } = nacre.start(["run", "--rm", guest.image, "--", "sh", "-c", script]);
    await shows("ready");
    child.kill("SIGINT");
    expect(await result).toMatchObject({ status: 3, stdout: "ready\ncaught\n" });
  });

  it("a second signal kills", async () => {
    const script = "trap '' INT; echo ready; while :; do sleep 1; done";
    const { child, result, shows } = nacre.start(["run", "--rm", guest.image, "--", "sh", "-c", script]);
    await shows("ready");
    child.kill("SIGINT");
    child.kill("SIGTERM");
    expect((await result).status).toBe(137);
  });

  describe("with one that goes on", () => {
    beforeAll(async () => {
      const args = ["run", "-d", "--name", "main", "-e", "COLOUR=blue", guest.image, "--", "sleep", "1000"];
      expect(await nacre.run(args)).toEqual({ status: 0, stdout: "main\n", stderr: "" });
    });

    it("ps lists it", async () => {
      const [listed] = await nacre.json<Listed[]>(["ps", "--json"]);
      expect(listed).toMatchObject({ name: "main", status: "running", guest: guest.guest.id, image: guest.image });
      expect((await nacre.run(["ps"])).stdout).toMatch(/^NAME .*\nmain .*running .*sleep 1000\n$/u);
    });

    it("its name is taken", async () => {
      const again = await nacre.run(["run", "--name", "main", guest.image, "--", "true"]);
      expect(again.status).toBe(2);
      expect(again.stderr).toContain("a container main exists");
    });

    it("exec has its environment, and a status of its own", async () => {
      const script = 'echo "$COLOUR"; cat; exit 5';
      const result = await nacre.run(["exec", "-i", "main", "--", "sh", "-c", script], "typed");
      expect(result).toEqual({ status: 5, stdout: "blue\ntyped", stderr: "" });
      const told = await nacre.json<{ status: number; stdout: string }>(["exec", "--json", "main", "--", "echo", "hi"]);
      expect(told).toMatchObject({ name: "main", status: 0, stdout: "hi\n", stderr: "" });
    });

    it("stats tell what it uses", async () => {
      const stats = await nacre.json<{ cgroup_stats: { pids_stats: { current: string } } }>([
        "stats",
        "--json",
        "main",
      ]);
      expect(stats.cgroup_stats.pids_stats.current).toBe("1");
      expect((await nacre.run(["stats", "main"])).stdout).toMatch(
        /^NAME .*\nmain +1 +\d+\.\d MiB +none +\d+\.\d{3} s\n$/u,
      );
    });

    it("under a policy, exec is allowed and refused", async () => {
      const file = join(state, "policy.rego");
      writeFileSync(file, POLICY);
      const set = await nacre.run(["run", "--rm", "--policy", file, guest.image, "--", "true"]);
      expect(set).toEqual({ status: 0, stdout: "", stderr: "" });
      expect((await nacre.run(["exec", "main", "--", "echo", "yes"])).stdout).toBe("yes\n");
      const refused = await nacre.run(["exec", "main", "--", "cat", "/etc/passwd"]);
      expect(refused).toMatchObject({ status: 125, stdout: "" });
      expect(refused.stderr).toMatch(/is blocked by policy: .*only echo, not cat"? ?\(PERMISSION_DENIED\)\n$/u);
      const told = await nacre.run(["exec", "--json", "main", "--", "cat"]);
      expect(JSON.parse(told.stderr)).toMatchObject({ error: { code: "agent" } });
    });

    it("rm wants force while it runs", async () => {
      const refused = await nacre.run(["rm", "main"]);
      expect(refused.status).toBe(2);
      expect(refused.stderr).toContain("--force");
      expect(await nacre.json(["rm", "--json", "--force", "main"])).toEqual({ removed: ["main"] });
      expect(await names()).toEqual({});
      expect((await nacre.run(["stats", "main"])).stderr).toBe("nacre: no container main; nacre ps lists all\n");
    });
  });

  it("a container that has ended stays until it is removed", async () => {
    expect((await nacre.run(["run", "--name", "short", guest.image, "--", "sh", "-c", "exit 4"])).status).toBe(4);
    expect(await names()).toEqual({ short: "exited (4)" });
    expect((await nacre.run(["rm", "short"])).stdout).toBe("short\n");
    expect(await names()).toEqual({});
  });
});
