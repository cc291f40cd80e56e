import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { listGuests, sweep } from "@nacre/cli";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { GoPods } from "../fixtures/go-pods.ts";
import { guestTraces, NOTHING } from "../fixtures/guest-traces.ts";
import { HypervisorProcess } from "../fixtures/hypervisor.ts";
import { machineFacts } from "../fixtures/machine-facts.ts";
import { MIRROR, NETWORK_POLICY, POD_POLICY, podPlan, TAG } from "../fixtures/pod-plan.ts";
import { busyboxImage, type Registry, startRegistry } from "../fixtures/registry.ts";

let stateRoot: string;
let server: HypervisorProcess | undefined;
const registries: Registry[] = [];
beforeEach(() => {
  stateRoot = mkdtempSync("/run/nacre-pods-");
});
afterEach(async () => {
  await server?.close();
  server = undefined;
  for (const guest of listGuests(stateRoot)) await guest.stop();
  await sweep(stateRoot);
  for (const registry of registries.splice(0)) await registry.close();
  rmSync(stateRoot, { recursive: true });
});

describe("nacre hypervisor serve --qemu", () => {
  it("gives a Go client two pods in virtual machines side by side, and nothing stays of them", async () => {
    const before = machineFacts();
    const policy = join(stateRoot, "policy.rego");
    writeFileSync(policy, POD_POLICY + NETWORK_POLICY);
    const emulated = ["--qemu", "--accel", "tcg", "--bridge", "vhost-user-vsock"];
    server = await HypervisorProcess.start(stateRoot, [...emulated, "--policy", policy, ...MIRROR]);
    const pods = new GoPods(server.socket, [podPlan("pod-one"), podPlan("pod-two")]);
    try {
      await pods.all("started");
      const guests = listGuests(stateRoot);
      expect(guests.map(({ kind }) => kind)).toEqual(["qemu", "qemu"]);
      for (const { gateway } of guests) {
        const registry = await startRegistry({ address: `${gateway}:5000` });
        registries.push(registry);
        await busyboxImage(registry, TAG);
      }
      pods.go();
      await pods.all("running");
      pods.go();
      const over = await pods.all("over");
      expect(
        over.map(({ error, stdout, stderr, status, exec_code }) => [error, stdout, stderr, status, exec_code]),
      ).toEqual(["pod-one", "pod-two"].map((id) => [undefined, `out of ${id}\nbye\n`, `err of ${id}\n`, 3, 7]));
      for (const { exec_message } of over) expect(exec_message).toBe('"ExecProcessRequest is blocked by policy: "');
      expect(listGuests(stateRoot)).toEqual([]);
      for (const { id } of guests) expect(guestTraces(stateRoot, id)).toEqual(NOTHING);
    } finally {
      await pods.close();
    }
    for (const registry of registries.splice(0)) await registry.close();
    expect(machineFacts()).toEqual(before);
  });
});
