import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { networkInterfaces, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { ProcessIdentity } from "../../packages/cli/src/guest/identity.ts";
import { killProcess } from "../../packages/cli/src/guest/process-end.ts";
import { changed } from "../fixtures/changed.ts";
import { NacreCommand } from "../fixtures/nacre-command.ts";
import { busyboxImage, startRegistry } from "../fixtures/registry.ts";

interface StartedGuest {
  readonly id: string;
  readonly agent: string;
  readonly hybrid: string;
  readonly gateway: string;
  readonly pid: number;
}

const POLICY = `package agent_policy

default ExecProcessRequest := false

ExecProcessRequest if {
  print("asked for", input.process.Args[0])
  input.process.Args[0] == "ls"
}
`;

describe("nacre on the host", () => {
  let state: string;
  let nacre: NacreCommand;
  beforeAll(() => {
    state = mkdtempSync(join(tmpdir(), "nacre-cli-"));
    nacre = new NacreCommand(state);
  });
  afterEach(() => nacre.run(["guest", "stop", "--all"]));
  afterAll(() => rmSync(state, { recursive: true, force: true }));

  const guests = (): string[] => (existsSync(join(state, "guests")) ? readdirSync(join(state, "guests")) : []);

  it("a guest is started, listed, asked, and stopped without a trace", async () => {
    const guest = await nacre.json<StartedGuest>(["guest", "start", "--json", "--kernel", "agent.log=debug"]);
    expect(guest.agent).toBe(`unix://${state}/guests/${guest.id}/vsock/1024.sock`);
    expect(guest.hybrid).toBe(`hvsock://${state}/guests/${guest.id}/hybrid.sock:1024`);
    expect(await nacre.json(["guest", "list", "--json"])).toEqual([guest]);
    expect((await nacre.run(["guest", "list"])).stdout).toContain(`\n${guest.id} `);
    expect(await nacre.json(["rpc", "Check"])).toEqual({ status: "SERVING" });
    expect(await nacre.json(["rpc", "--address", guest.hybrid, "grpc.Health/Version", "-"], "{}")).toMatchObject({
      agent_version: "4.1.0",
    });
    // Written beside what the agent answers.
    const file = join(state, "guests", guest.id, "guest.log");
    await changed(file, () => readFileSync(file, "utf8").includes("ttRPC server started"));
    const { stdout: log } = await nacre.run(["guest", "logs", guest.id.slice(0, 4)]);
    expect(log).toContain("ttRPC server started");
    expect((await nacre.run(["guest", "stop"])).stdout).toBe(`stopped ${guest.id}\n`);
    expect(await nacre.json(["guest", "list", "--json"])).toEqual([]);
    expect(guests()).toEqual([]);
    expect(existsSync(`/proc/${guest.pid}`)).toBe(false);
    expect(Object.keys(networkInterfaces())).not.toContain(`nacre-${guest.id}`);
  });

  it("the agent's status and text come through rpc", async () => {
    await nacre.json(["guest", "start", "--json"]);
    const unknown = await nacre.run(["rpc", "StatsContainer", '{"container_id":"nope"}']);
    expect(unknown).toEqual({
      status: 1,
      stdout: "",
      stderr: 'nacre: StatsContainer: "invalid container id" (INVALID_ARGUMENT)\n',
    });
    const field = await nacre.run(["rpc", "StatsContainer", '{"id":"nope"}']);
    expect(field.stderr).toMatch(/^nacre: request of StatsContainer: .*id/u);
    expect((await nacre.run(["rpc", "Stats"])).status).toBe(2);
    // Nothing on the wire tells the guest; we stop waiting.
    const late = await nacre.run(["rpc", "GetOOMEvent", "--timeout", "0.2"]);
    expect(late.stderr).toMatch(/DEADLINE_EXCEEDED/u);
  });

  it("run starts a guest when there is none, and speaks TLS to registries that are not on its gateway", async () => {
    await using registry = await startRegistry();
    await busyboxImage(registry, "app:1");
    const refused = await nacre.run(["run", `${registry.address}/app:1`, "--", "true"]);
    expect(refused.status).toBe(125);
    expect(refused.stderr).toMatch(/^guest [0-9a-f]{8} is up after \d+ ms\nit stays until: nacre guest stop/u);
    expect(refused.stderr).toMatch(/\nnacre: image 127\.0\.0\.1:\d+\/app:1: .*SSL.*\n$/u);
    expect(guests()).toHaveLength(1);
  });

  it("names the guests when it cannot know which is meant", async () => {
    const [one, two] = [
      await nacre.json<StartedGuest>(["guest", "start", "--json"]),
      await nacre.json<StartedGuest>(["guest", "start", "--json"]),
    ];
    const unclear = await nacre.run(["rpc", "Check"]);
    expect(unclear.status).toBe(2);
    expect(unclear.stderr).toContain([one.id, two.id].toSorted().join("|"));
    expect(await nacre.json(["rpc", "--guest", two.id, "Check"])).toEqual({ status: "SERVING" });
    expect((await nacre.run(["rpc", "--guest", "ffffffff", "Check"])).stderr).toBe('nacre: no guest "ffffffff" runs\n');
    expect(await nacre.json(["guest", "stop", "--all", "--json"])).toEqual({
      stopped: [one.id, two.id].toSorted(),
    });
  });

  it("a guest that was killed is cleared away by the next command", async () => {
    const { id } = await nacre.json<StartedGuest>(["guest", "start", "--json"]);
    const text = readFileSync(join(state, "guests", id, "state.json"), "utf8");
    const { supervisor } = JSON.parse(text) as { supervisor: ProcessIdentity };
    await killProcess(supervisor);
    expect((await nacre.run(["guest", "list"])).stderr).toBe(`removed what was left of guest ${id}\n`);
    expect(guests()).toEqual([]);
  });

  it("policy check: parses, decides, and says where it cannot", async () => {
    const file = join(state, "p.rego");
    writeFileSync(file, POLICY);
    const good = await nacre.json<{ sha256: string }>(["policy", "check", file, "--json"]);
    expect(good.sha256).toMatch(/^[0-9a-f]{64}$/u);
    const ask = ["policy", "check", file, "--rule", "ExecProcessRequest", "--request", "-"];
    const allowed = await nacre.run(ask, '{"process":{"Args":["ls"]}}');
    expect(allowed).toEqual({
      status: 0,
      stdout: `ExecProcessRequest: allowed\n  ${file}:6: asked for ls\n`,
      stderr: "",
    });
    const refused = await nacre.run([...ask, "--json"], '{"process":{"Args":["rm"]}}');
    expect(refused.status).toBe(1);
    expect(JSON.parse(refused.stdout)).toMatchObject({ allowed: false, prints: [`${file}:6: asked for rm`] });
    writeFileSync(file, "package agent_policy\n\nA := {\n");
    const broken = await nacre.run(["policy", "check", file]);
    expect(broken).toMatchObject({ status: 1, stdout: "" });
    expect(broken.stderr).toMatch(/p\.rego:\d+:\d+/u);
    expect((await nacre.run(["policy", "check", `${file}.none`])).stderr).toMatch(
      /^nacre: a file cannot be read: ENOENT/u,
    );
  });

  it("doctor finds that guests run here, as they do in these tests", async () => {
    const { simulatedGuest, findings } = await nacre.json<{ simulatedGuest: boolean; findings: { name: string }[] }>([
      "doctor",
      "--json",
    ]);
    expect(simulatedGuest).toBe(true);
    expect(findings.map(({ name }) => name)).toContain("cgroups");
    expect((await nacre.run(["doctor"])).stdout).toMatch(/A simulated guest runs here: nacre guest start\n$/u);
  });

  it("the installed command runs under the system's Node too", async () => {
    const installed = resolve(import.meta.dirname, "../../packages/cli/bin/nacre.js");
    for (const node of [process.execPath, "/usr/bin/node"].filter((path) => existsSync(path))) {
      const { result } = nacre.start(["--help"], [node, installed]);
      expect(await result).toMatchObject({ status: 0, stdout: expect.stringMatching(/^nacre runs the guest/u) });
      const { result: wrong } = nacre.start(["nope"], [node, installed]);
      expect((await wrong).status).toBe(2);
    }
  });
});
