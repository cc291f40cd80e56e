import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type PolicyEngine } from "@nacre/agent-policy";
import { AgentService } from "@nacre/protocols";
import { TtrpcClient, TtrpcServer, transportPair } from "@nacre/ttrpc";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { PolicyGate } from "../src/gate.ts";
import { createLogger, type Logger } from "../src/log.ts";
import { loadPolicy } from "../src/policy.ts";
import { agentHandlers, type AgentParts } from "../src/service/index.ts";

const CLOSED = "package agent_policy\ndefault SetPolicyRequest := false\ndefault GuestDetailsRequest := false\n";
const OPEN = "package agent_policy\ndefault SetPolicyRequest := true\ndefault GuestDetailsRequest := true\n";
const OPENER = `${OPEN}# another\n`;
const { GetGuestDetails, SetPolicy } = AgentService.methods;
const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
const details = { mem_block_size: false, mem_hotplug_probe: false };

describe("which policy is in force", () => {
  let folder: string;
  let file: string;
  let lines: string[];
  let log: Logger;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "nacre-policy-"));
    file = join(folder, "default-policy.rego");
    lines = [];
    log = createLogger({ level: "info", version: "0", pid: 1, write: (line) => void lines.push(line) });
  });

  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  /** The agent's service under the image's policy and what initdata brings. */
  async function agent(image: string, initdata?: string): Promise<TtrpcClient> {
    writeFileSync(file, image);
    const policy: PolicyEngine = await loadPolicy(file, log, initdata);
    const gate = new PolicyGate(policy, log);
    const parts = { gate, policy, log, containers: {}, creator: {}, storages: { driverNames: [] } };
    const [ours, theirs] = transportPair();
    new TtrpcServer().addService(AgentService, agentHandlers(parts as unknown as AgentParts)).serve(ours);
    return new TtrpcClient(theirs);
  }

  const logged = (): Array<Record<string, unknown>> =>
    lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter(({ msg }) => /polic/u.test(String(msg)));

  it("is the image's, and its digest is logged", async () => {
    const client = await agent(CLOSED);
    expect(logged()).toMatchObject([{ msg: "policy in force", file, sha256: sha256(CLOSED) }]);
    await expect(client.call(GetGuestDetails, details)).rejects.toMatchObject({ code: 7 });
  });

  it("is initdata's where it brings one, whatever the image's says about SetPolicy", async () => {
    const client = await agent(CLOSED, OPEN);
    expect(logged()).toMatchObject([
      { msg: "policy of initdata in force", sha256: sha256(OPEN), replaced_sha256: sha256(CLOSED) },
    ]);
    await client.call(GetGuestDetails, details);
  });

  it("is that of SetPolicy where the one in force allows it, both digests logged", async () => {
    const client = await agent(CLOSED, OPEN);
    await client.call(SetPolicy, { policy: OPENER });
    await client.call(SetPolicy, { policy: CLOSED });
    expect(logged().slice(1)).toMatchObject([
      { msg: "policy replaced", sha256: sha256(OPENER), replaced_sha256: sha256(OPEN) },
      { msg: "policy replaced", sha256: sha256(CLOSED), replaced_sha256: sha256(OPENER) },
    ]);
    await expect(client.call(SetPolicy, { policy: OPEN })).rejects.toMatchObject({
      code: 7,
      message: '"SetPolicyRequest is blocked by policy: "',
    });
    await expect(client.call(GetGuestDetails, details)).rejects.toMatchObject({ code: 7 });
  });

  it("stays where SetPolicy is refused by initdata's, though the image's would allow it", async () => {
    const client = await agent(OPEN, CLOSED);
    await expect(client.call(SetPolicy, { policy: OPEN })).rejects.toMatchObject({ code: 7 });
  });

  it.each([
    ["does not parse", "package agent_policy\ndefault X := "],
    ["is of another package", "package other\ndefault X := true\n"],
    ["is empty", ""],
    ["has an unsafe variable", "package agent_policy\nX if { y == 1 }\n"],
  ])("stays where SetPolicy brings one that %s", async (_what, policy) => {
    const client = await agent(OPEN);
    await expect(client.call(SetPolicy, { policy })).rejects.toMatchObject({ code: 3 });
    await client.call(GetGuestDetails, details);
    expect(logged().filter(({ msg }) => msg === "policy replaced")).toEqual([]);
  });

  it("is none where the image has none, or initdata's is none: the agent does not start", async () => {
    await expect(loadPolicy(join(folder, "none"), log)).rejects.toThrow(/^policy \S*none$/u);
    await expect(agent("package agent_policy\ndefault X :=")).rejects.toThrow(/^policy \S*default-policy\.rego$/u);
    await expect(agent(OPEN, "package other\n")).rejects.toThrow(
      "policy of initdata: expected package agent_policy, got other",
    );
    // Nor does the image's stand in for it.
    await expect(agent(OPEN, "")).rejects.toThrow(/^policy of initdata: /u);
  });
});
