import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

import { type Guest, listGuests, startGuest, sweep } from "@nacre/cli";
import { parseAgentToken } from "@nacre/kbs-protocol";
import { AgentService, AttestationAgentService, GetResourceService } from "@nacre/protocols";
import { TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { chooseNetwork } from "../../packages/cli/src/guest/network.ts";
import { type Broker, makeBroker } from "../fixtures/broker.ts";
import { brokerInitdata } from "../fixtures/broker-initdata.ts";
import { changed } from "../fixtures/changed.ts";
import { guestLogged } from "../fixtures/guest-log.ts";
import { NacreCommand } from "../fixtures/nacre-command.ts";

/** Of the two sockets that the guest has for its components, as the kernel shows them of its init. */
const COMPONENTS = "/run/confidential-containers";
const AGENT = `${COMPONENTS}/attestation-agent/attestation-agent.sock`;
const HUB = `${COMPONENTS}/cdh.sock`;

const SECRET = "what only this guest may know";
const POLICY = `package agent_policy

default GuestDetailsRequest := true
default GetMetricsRequest := true
default CreateContainerRequest := false
`;

/** Sample evidence, and only for what lies below one repository. */
const ALLOWS = `package policy

import rego.v1

default allow := false

allow if {
	data.plugin == "resource"
	data["resource-path"][0] == "guest"
	input.submods.cpu0["ear.veraison.annotated-evidence"].sample.svn == "1"
}
`;

/** What an unproven guest is not given. */
const AFFIRMED = `package policy

import rego.v1

default allow := false

allow if every _, submodule in input.submods { submodule["ear.status"] == "affirming" }
`;

let stateRoot: string;
let broker: Broker;
let guest: Guest;

beforeAll(async () => {
  // Sockets have short names only: not below the system's temporary folder.
  stateRoot = mkdtempSync("/run/nacre-attest-");
  const network = chooseNetwork();
  broker = await makeBroker(network.gateway);
  // It outlives the guest: its last lines are looked at.
  const logFile = join(stateRoot, "log");
  guest = await startGuest({ stateRoot, network, logFile, initdata: brokerInitdata(broker, POLICY) });
  await broker.start();
  await broker.setResourcePolicy(ALLOWS);
  expect(await broker.post("resource/guest/key/one", SECRET)).toBe(200);
}, 120_000);

afterAll(async () => {
  for (const one of listGuests(stateRoot)) await one.stop();
  await sweep(stateRoot);
  await broker[Symbol.asyncDispose]();
  rmSync(stateRoot, { recursive: true });
});

async function connected<T>(path: string, use: (client: TtrpcClient) => Promise<T>): Promise<T> {
  const client = new TtrpcClient(await dial(`unix:///proc/${guest.initPid}/root${path}`));
  try {
    return await use(client);
  } finally {
    client.close();
  }
}

const token = async (): Promise<string> =>
  await connected(AGENT, async (client) => {
    const { Token } = await client.call(AttestationAgentService.methods.GetToken, { TokenType: "kbs" });
    return parseAgentToken(Buffer.from(Token)).token;
  });

const resource = async (name: string): Promise<string> =>
  await connected(HUB, async (client) => {
    const { Resource } = await client.call(GetResourceService.methods.GetResource, { ResourcePath: name });
    return Buffer.from(Resource).toString();
  });

/** What the agent says of a component: whether it is ready, how often it was started again, how often it crashed. */
const componentFigures = async (component: string): Promise<readonly number[]> => {
  const client = new TtrpcClient(await dial(guest.agentAddress));
  try {
    const { metrics } = await client.call(AgentService.methods.GetMetrics, {});
    return ["ready", "restarts_total", "crashes_total"].map((name) => {
      const line = new RegExp(`^kata_agent_component_${name}\\{component="${component}"\\} (\\d+)$`, "mu").exec(
        metrics,
      );
      return Number(line?.[1] ?? Number.NaN);
    });
  } finally {
    client.close();
  }
};

const lastRefusal = (): unknown => broker.audit().findLast(({ outcome }) => outcome === "refused")?.["reason"];

/** As a container reaches it: in the guest's network. */
const http = async (path: string): Promise<string> => {
  const within = [`--net=/proc/${guest.initPid}/ns/net`, "--"];
  const curl = ["/usr/bin/curl", "-sS", "--noproxy", "*", `http://127.0.0.1:8006${path}`];
  return (await promisify(execFile)("/usr/bin/nsenter", [...within, ...curl])).stdout;
};

describe("a guest with initdata", () => {
  it("says that nothing binds it, and lives by its policy", async () => {
    const log = await guestLogged(guest, "Platform does not support initdata checking");
    expect(log).toMatch(/WARN attestation-agent\] UNBOUND initdata: sample has no place for it/u);
    const client = new TtrpcClient(await dial(guest.agentAddress));
    await client.call(AgentService.methods.GetGuestDetails, {});
    await expect(client.call(AgentService.methods.CreateContainer, {})).rejects.toThrow(
      "CreateContainerRequest is blocked by policy",
    );
    client.close();
  });

  it("attests to the broker over TLS, and keeps its token", async () => {
    const first = await token();
    const claims = JSON.parse(Buffer.from(first.split(".")[1] ?? "", "base64url").toString()) as {
      submods: Record<string, { "ear.veraison.annotated-evidence": { sample?: { svn: string } } }>;
    };
    expect(Object.keys(claims.submods)).toEqual(["cpu0"]);
    expect(claims.submods["cpu0"]?.["ear.veraison.annotated-evidence"].sample?.svn).toBe("1");
    expect(await token()).toBe(first);
  });

  it("is given what the broker's policy allows it, and no more", async () => {
    expect(await resource("kbs:///guest/key/one")).toBe(SECRET);
    await expect(resource("kbs:///other/key/one")).rejects.toThrow(
      /^\[CDH\] \[ERROR\]: Get Resource failed: resource: .*PolicyDeny/u,
    );
    await expect(resource("kbs:///guest/key/none")).rejects.toThrow(/Get Resource failed: resource: .*PluginInternal/u);
    expect(guest.log()).not.toContain(SECRET);
  });

  it("is given nothing, and told why, where the policy wants a guest that proves itself", async () => {
    await broker.setResourcePolicy(AFFIRMED);
    await expect(resource("kbs:///guest/key/one")).rejects.toThrow("PolicyDeny");
    expect(lastRefusal()).toBe("Access denied by policy");
    await guestLogged(guest, /ERROR confidential-data-hub\] \[CDH\] \[ERROR\]: Get Resource failed: .*PolicyDeny/u);
    await broker.setResourcePolicy(ALLOWS);
    expect(await resource("kbs:///guest/key/one")).toBe(SECRET);
  });

  it("has its resources for containers, by HTTP on loopback", async () => {
    expect(await http("/cdh/resource/guest/key/one")).toBe(SECRET);
    expect(await http("/cdh/resource/other/key/one")).toBe("ttrpc request error");
    expect(await http("/aa/token?token_type=kbs")).toBe("Attestation Feature Not Enabled");
    expect(JSON.parse(await http("/info"))).toMatchObject({ tee: "sample", feature: "resource" });
  });

  it("says to the host how its components are, and nothing of what they hold", async () => {
    for (const component of ["attestation-agent", "confidential-data-hub", "api-server-rest"]) {
      expect(await componentFigures(component), component).toEqual([1, 0, 0]);
    }
  });

  it("answers nacre aa", async () => {
    const nacre = new NacreCommand(stateRoot);
    const { status, stdout } = await nacre.run(["aa", "get-token", "--claims", "--guest", guest.id]);
    expect([status, Object.keys((JSON.parse(stdout) as { submods: object }).submods)]).toEqual([0, ["cpu0"]]);
    expect(stdout).not.toContain("PRIVATE KEY");
  });

  it("says in nacre attest that it proves nothing, and that nothing binds its initdata", async () => {
    const { status, stdout } = await new NacreCommand(stateRoot).run(["attest", guest.id]);
    expect([status, stdout.split("\n")[0]]).toEqual([1, `guest ${guest.id}`]);
    expect(stdout).toContain("! Sample evidence");
    expect(stdout).toContain("! Unbound: no initdata is part of what was measured, so no policy is proven.");
  });

  it("attests again when the broker no longer takes its token", async () => {
    const before = await token();
    await broker.stop();
    broker.forgetTokenKey();
    await broker.start();
    expect(await resource("kbs:///guest/key/one")).toBe(SECRET);
    expect(await token()).not.toBe(before);
  });

  it("survives its attestation agent, and ends with one that crashes again and again", async () => {
    const ready = (): number => guest.log().split('"component":"attestation-agent","component_pid"').length;
    const crash = (): void => {
      const pids = readFileSync(`/proc/${guest.initPid}/task/${guest.initPid}/children`, "utf8").trim().split(" ");
      const found = pids
        .flatMap((pid) => [pid, ...readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ")])
        .filter((pid) => pid !== "" && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("bin/attestation-agent"));
      expect(found).toHaveLength(1);
      process.kill(Number(found[0]), "SIGKILL");
    };
    for (let crashes = 1; crashes < 5; crashes++) {
      const before = ready();
      crash();
      await changed(guest.logFile, () => ready() > before);
      if (crashes === 1) expect(await resource("kbs:///guest/key/one")).toBe(SECRET);
      expect(await componentFigures("attestation-agent")).toEqual([1, crashes, crashes]);
    }
    const { logFile, ended } = guest;
    const said = changed(logFile, () => readFileSync(logFile, "utf8").includes("expected fewer than 5 crashes"));
    crash();
    await said;
    await ended;
  });
});
