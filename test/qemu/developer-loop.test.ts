import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { DebuggerClient } from "../../packages/cli/test/inspect/debugger-client.ts";
import { NacreCommand } from "../fixtures/nacre-command.ts";

interface Started {
  readonly id: string;
  readonly debugger: string;
}
interface Trace {
  readonly kind: string;
  readonly rows: readonly { readonly subject: string; readonly step: string; readonly begin: number }[];
  readonly milestones: Readonly<Record<string, number>>;
}

/** Steps of a boot in the order in which they begin. */
const BOOT: readonly string[] = [
  "supervisor.guest",
  "qemu.firmware",
  "kernel.start",
  "initramfs.root",
  "nvrc.node",
  "nvrc.mounts",
  "nvrc.modules",
  "nvrc.agent",
  "kata-agent.node",
  "kata-agent.launch",
  "confidential-data-hub.listening",
  "kata-agent.listening",
  "kata-agent.call",
];

describe.each(["vhost-user-vsock", "virtio-serial"])("a developer's virtual machine, reached over %s", (bridge) => {
  let state: string;
  let nacre: NacreCommand;
  let guest: Started;
  beforeAll(async () => {
    state = mkdtempSync("/run/nacre-loop-");
    nacre = new NacreCommand(state);
    guest = await nacre.json<Started>([
      "guest",
      "start",
      "--qemu",
      "--accel",
      "tcg",
      "--bridge",
      bridge,
      "--json",
      "--trace",
      "--shell",
      "--inspect",
      "kata-agent",
    ]);
  });
  afterAll(async () => {
    await nacre.run(["guest", "stop", "--all"]);
    rmSync(state, { recursive: true, force: true });
  });

  it("shows its boot from power-on, with the host's events and the guest's on one axis", async () => {
    const html = join(state, "boot.html");
    const { kind, rows, milestones } = await nacre.json<Trace>([
      "trace",
      "--guest",
      guest.id,
      "--json",
      "--html",
      html,
    ]);
    expect(kind).toBe("qemu");
    const begins = BOOT.map(
      (name) => rows.find(({ subject, step }) => `${subject}.${step}` === name)?.begin ?? Number.NaN,
    );
    expect(begins).toEqual(begins.toSorted((a, b) => a - b));
    const { powerOnToAnswering = 0, handOverToAnswering = 0, agentAnswering = 0 } = milestones;
    expect(powerOnToAnswering).toBeGreaterThan(handOverToAnswering);
    expect(handOverToAnswering).toBeGreaterThan(agentAnswering);
    expect(agentAnswering).toBeGreaterThan(0);
  });

  it("has its serial console followed, to its end", async () => {
    const { child, result, shows } = nacre.start(["guest", "console"]);
    await shows("ttRPC server started");
    child.kill("SIGINT");
    const { status, stdout } = await result;
    expect(status).toBe(130);
    expect(stdout).toMatch(/^\[ {4}0\.000000\] Linux version /mu);
    expect(stdout).not.toMatch(/[^\P{Cc}\n\t]/u);
  });

  it("has a shell of its devkit extension", async () => {
    const { status, stdout } = await nacre.run(
      ["guest", "console", "--shell"],
      "readlink /proc/1/exe; cat /proc/1/comm\n",
    );
    expect(status).toBe(0);
    expect(stdout).toMatch(/\r\n\/usr\/bin\/node\r\n/u);
  });

  it("has its attestation agent asked, whose TPM has initdata and vouches for nothing else", async () => {
    expect(await nacre.json(["aa", "get-tee", "--guest", guest.id, "--json"])).toEqual({ tee: "tpm", devices: [] });
    const { status, stdout } = await nacre.run(["attest", guest.id]);
    expect(status).toBe(1);
    expect(stdout).toContain("+ Initdata is bound: its digest is part of what was measured.");
    expect(stdout).toContain("cpu0: warning (policy default)");
  });

  it("takes a debugger", async () => {
    const client = await DebuggerClient.connect(guest.debugger);
    expect(await client.evaluate("process.argv[1]")).toBe("/usr/lib/nacre/kata-agent.mjs");
    await client.post("Debugger.enable");
    const stopped = client.post("Runtime.evaluate", { expression: "debugger" });
    await client.event("Debugger.paused");
    await client.post("Debugger.resume");
    await stopped;
    client.close();
    expect(await nacre.json(["rpc", "Check"])).toEqual({ status: "SERVING" });
  });
});
