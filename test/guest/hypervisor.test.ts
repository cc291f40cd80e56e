import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";

import { listGuests, sweep } from "@nacre/cli";
import { formatInitdata, InitdataKey } from "@nacre/kbs-protocol";
import { Health, Hypervisor } from "@nacre/protocols";
import { TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { GoClient } from "../fixtures/go-client.ts";
import { GoPods } from "../fixtures/go-pods.ts";
import { guestLogged } from "../fixtures/guest-log.ts";
import { createVmBody, HypervisorProcess } from "../fixtures/hypervisor.ts";
import { cgroupsWith, machineFacts, processesWith } from "../fixtures/machine-facts.ts";
import { MIRROR, POD_POLICY, podPlan, TAG } from "../fixtures/pod-plan.ts";
import { busyboxImage, type Registry, startRegistry } from "../fixtures/registry.ts";
import { replayTrace } from "../fixtures/trace-replay.ts";
import { vectors } from "../setup/data.ts";
import { goPeer } from "../setup/go.ts";

/** Guests whose init waits for a debugger: however fast the machine is, none has started before it is ended. */
const HELD = ["--kernel", "nacre.inspect=nvrc", "--kernel", "nacre.inspect.wait"];

let stateRoot: string;
let server: HypervisorProcess | undefined;
const registries: Registry[] = [];
beforeEach(() => {
  // Sockets have short names only: not below the system's temporary folder.
  stateRoot = mkdtempSync("/run/nacre-test-");
});
afterEach(async () => {
  if (server?.child.exitCode === null && server.child.signalCode === null) await server.close();
  server = undefined;
  for (const guest of listGuests(stateRoot)) await guest.stop();
  await sweep(stateRoot);
  for (const registry of registries.splice(0)) await registry.close();
  rmSync(stateRoot, { recursive: true });
});

const start = async (...args: string[]): Promise<HypervisorProcess> => {
  server = await HypervisorProcess.start(stateRoot, args);
  return server;
};
const guestOf = (socket: string) => {
  const guest = listGuests(stateRoot).find(({ agentAddress }) => agentAddress === `unix://${socket}`);
  if (guest === undefined) throw new Error(`expected a guest with ${socket}`);
  return guest;
};
const check = async (socket: string): Promise<number> => {
  const client = new TtrpcClient(await dial(`unix://${socket}`, { timeoutMs: 30_000 }));
  try {
    return (await client.call(Health.methods.Check, {}, { timeoutMs: 30_000 })).status;
  } finally {
    client.close();
  }
};
/** A registry with the image on the gateway of the guest behind the socket. */
const registryFor = async (socket: string): Promise<void> => {
  const registry = await startRegistry({ address: `${guestOf(socket).gateway}:5000` });
  registries.push(registry);
  await busyboxImage(registry, TAG);
};
/** What is left of anything that the server has made. */
const remains = (): object => ({
  guests: existsSync(join(stateRoot, "guests")) ? readdirSync(join(stateRoot, "guests")) : [],
  records: readdirSync(join(stateRoot, "hypervisor/vms")),
  processes: processesWith(`${stateRoot} `).filter((line) => !line.includes("hypervisor serve")),
});
const NOTHING = { guests: [], records: [], processes: [] };

describe("nacre hypervisor serve", () => {
  it("gives a Go client two pods side by side, and nothing stays of them", async () => {
    const before = machineFacts();
    const policy = join(stateRoot, "policy.rego");
    writeFileSync(policy, POD_POLICY);
    const vms = await start("--policy", policy, ...MIRROR);
    const pods = new GoPods(vms.socket, [podPlan("pod-one"), podPlan("pod-two")]);
    try {
      const started = await pods.all("started");
      for (const { socket } of started) await registryFor(socket ?? "");
      pods.go();
      expect((await pods.all("running")).map(({ id }) => id)).toEqual(["pod-one", "pod-two"]);
      expect(listGuests(stateRoot)).toHaveLength(2);
      const ids = listGuests(stateRoot).map(({ id }) => id);
      pods.go();
      const over = await pods.all("over");
      expect(
        over.map(({ error, stdout, stderr, status, exec_code }) => [error, stdout, stderr, status, exec_code]),
      ).toEqual(["pod-one", "pod-two"].map((id) => [undefined, `out of ${id}\nbye\n`, `err of ${id}\n`, 3, 7]));
      for (const { exec_message } of over) expect(exec_message).toBe('"ExecProcessRequest is blocked by policy: "');
      expect(remains()).toEqual(NOTHING);
      for (const id of ids) {
        expect([cgroupsWith(id), processesWith(id)]).toEqual([[], []]);
        expect(readdirSync("/sys/class/net")).not.toContain(`nacre-${id}`);
      }
    } finally {
      await pods.close();
    }
    for (const registry of registries.splice(0)) await registry.close();
    expect(machineFacts()).toEqual(before);
  });

  it("gives guests the memory and the processors of the pod", async () => {
    const vms = await start("--memory", "600", "--vcpus", "1");
    const { agentSocketPath } = await vms.create("asks", { default_memory: "640", default_vcpus: "2" });
    const bare = await vms.create("asks-not");
    const small = await vms.create("asks-little", { default_memory: "64" });
    await Promise.all(["asks", "asks-not", "asks-little"].map((id) => vms.start(id)));
    expect(limitsOf(guestOf(agentSocketPath).id)).toEqual({ memory: 640 << 20, cpus: 2 });
    expect(limitsOf(guestOf(bare.agentSocketPath).id)).toEqual({ memory: 600 << 20, cpus: 1 });
    expect(limitsOf(guestOf(small.agentSocketPath).id)).toEqual({ memory: 512 << 20, cpus: 1 });
  });

  it("gives the agent a pod's initdata, which the policy in force then comes from", async () => {
    // The server's own policy allows the exec that the document's does not name.
    const vms = await start(...MIRROR);
    const initdata = formatInitdata({
      algorithm: "sha256",
      data: new Map([[InitdataKey.POLICY as string, POD_POLICY]]),
    });
    const { id, create_vm: _, ...bodies } = podPlan("told");
    const pods = new GoPods(vms.socket, [{ id, ...bodies, create_vm: createVmBody(id, { cc_init_data: initdata }) }]);
    try {
      const [started] = await pods.all("started");
      await registryFor(started?.socket ?? "");
      await guestLogged(guestOf(started?.socket ?? ""), createHash("sha256").update(initdata).digest("hex"));
      pods.go();
      await pods.all("running");
      pods.go();
      const [over] = await pods.all("over");
      expect([over?.error, over?.stdout, over?.exec_code]).toEqual([undefined, "out of told\nbye\n", 7]);
      expect(over?.exec_message).toBe('"ExecProcessRequest is blocked by policy: "');
    } finally {
      await pods.close();
    }
    await expect(vms.create("two", { cc_init_data: 'version = "0.9"' })).rejects.toThrow("cc_init_data: initdata");
  });

  it("has its socket before StartVM returns, and none before", async () => {
    const vms = await start();
    const { agentSocketPath } = await vms.create("one");
    expect(existsSync(agentSocketPath)).toBe(false);
    await vms.start("one");
    expect(await check(agentSocketPath)).toBe(1);
    await vms.stop("one");
    expect(existsSync(agentSocketPath)).toBe(false);
    expect(remains()).toEqual(NOTHING);
  });

  it("refuses what it does not know, and makes nothing", async () => {
    const folder = join(stateRoot, "empty");
    mkdirSync(folder);
    const vms = await start("--max-guests", "1", "--image", `empty=${folder}`);
    await expect(vms.create("one", { machine_type: "t3.large" })).rejects.toThrow(
      'machine_type: expected simulated, qemu, got "t3.large"',
    );
    await expect(vms.create("one", { image: "ubuntu" })).rejects.toThrow('image: expected empty, got "ubuntu"');
    await expect(vms.create("one", {}, "/run/netns/none-such")).rejects.toThrow("networkNamespacePath: ENOENT");
    await expect(vms.create("one", {}, stateRoot)).rejects.toThrow("expected a namespace");
    await expect(vms.create("..")).rejects.toThrow("id: expected");
    await vms.stop("one");
    await vms.create("one", { image: "empty" });
    await expect(vms.create("two")).rejects.toThrow("at most 1 guests");
    await expect(vms.start("one")).rejects.toThrow(`the guest's root directory ${folder} is missing`);
    expect(remains()).toEqual(NOTHING);
    await vms.create("one", { image: "empty" });
  });

  it("starts many at one time", async () => {
    const vms = await start();
    const ids = ["a", "b", "c", "d"];
    const sockets = await Promise.all(ids.map(async (id) => (await vms.create(id)).agentSocketPath));
    await Promise.all(ids.map((id) => vms.start(id)));
    expect(await Promise.all(sockets.map(check))).toEqual([1, 1, 1, 1]);
    await Promise.all(ids.map((id) => vms.stop(id)));
    expect(remains()).toEqual(NOTHING);
  });

  it("gives up a start whose caller has gone", async () => {
    const vms = await start(...HELD);
    await vms.create("one");
    const client = new TtrpcClient(await dial(`unix://${vms.socket}`));
    const lost = client.call(Hypervisor.methods.StartVM, { id: "one" });
    lost.catch(() => {});
    await vms.shows("starting", "one");
    client.close();
    await expect(lost).rejects.toThrow();
    const { reason } = await vms.shows("failed", "one");
    expect(reason).toContain("closed");
    await vms.stop("one");
    expect(remains()).toEqual(NOTHING);
  });

  it("ends a guest that is still starting", async () => {
    const vms = await start(...HELD);
    await vms.create("one");
    const started = vms.start("one");
    started.catch(() => {});
    await vms.shows("starting", "one");
    await vms.stop("one");
    await expect(started).rejects.toThrow("was stopped while it started");
    expect(remains()).toEqual(NOTHING);
  });

  it("notices a guest that crashes; the runtime's StopVM then succeeds", async () => {
    const vms = await start();
    const { agentSocketPath } = await vms.create("one");
    await vms.start("one");
    process.kill(guestOf(agentSocketPath).initPid, "SIGKILL");
    await vms.shows("ended", "one");
    expect(remains()).toEqual(NOTHING);
    await vms.stop("one");
    await expect(vms.start("one")).rejects.toThrow("or it has ended");
  });

  it("ends a guest whose shim was killed, which nobody else would", async () => {
    const vms = await start();
    // It goes by the program's name.
    const shim = join(stateRoot, "containerd-shim-kata-v2");
    copyFileSync(goPeer(), shim);
    const runtime = await GoClient.connect(`unix://${vms.socket}`, shim);
    const service = "hypervisor.Hypervisor";
    await runtime.call(service, "CreateVM", createVmBody("one"));
    await runtime.call(service, "StartVM", { id: "one" });
    expect(listGuests(stateRoot)).toHaveLength(1);
    await runtime.kill();
    expect((await vms.shows("dropped", "one")).reason).toBe("its runtime has ended");
    expect(remains()).toEqual(NOTHING);
  });

  it("leaves its guests at SIGTERM, and the next server finds them", async () => {
    const first = await start();
    const { agentSocketPath } = await first.create("one");
    await first.start("one");
    const asked = await first.create("two");
    expect((await first.close()).status).toBe(0);
    expect(existsSync(first.socket)).toBe(false);
    expect(await check(agentSocketPath)).toBe(1);

    const second = await start();
    expect(second.lines.map(({ event, sandbox }) => `${event} ${sandbox ?? ""}`).sort()).toEqual([
      "found one",
      "found two",
      "listening ",
    ]);
    await expect(second.create("one")).rejects.toThrow("sandbox one has a virtual machine");
    await second.start("two");
    expect(await check(asked.agentSocketPath)).toBe(1);
    await second.stop("one");
    await second.stop("two");
    expect(remains()).toEqual(NOTHING);
  });

  it("survives being killed, at any point of a guest's life", async () => {
    const first = await start();
    const { agentSocketPath } = await first.create("one");
    await first.start("one");
    await first.create("two");
    const starting = first.start("two");
    starting.catch(() => {});
    await first.shows("starting", "two");
    const socket = first.socket;
    first.child.kill("SIGKILL");
    await first.ended;
    expect(existsSync(socket)).toBe(true);
    expect(await check(agentSocketPath)).toBe(1);

    const second = await start();
    // Killed before it was asked, or over it: nobody was told of that guest.
    await second.stop("two");
    await second.stop("one");
    expect(remains()).toEqual(NOTHING);
  });

  it("is one at a time for its folder", async () => {
    const first = await start();
    const other = HypervisorProcess.start(stateRoot, ["--socket", join(dirname(first.socket), "other.sock")]);
    await expect(other).rejects.toThrow(`process ${first.child.pid} serves here already`);
  });

  const traces = vectors("traces");
  if (traces === undefined) return;

  it("gives the recorded runtime a guest that it goes on with", async () => {
    const vms = await start(...MIRROR);
    const { agentSocketPath } = await vms.create("recorded", { default_vcpus: "2", default_memory: "512" });
    await vms.start("recorded");
    await registryFor(agentSocketPath);
    const replies = await replayTrace(`${traces}/basic.jsonl`, agentSocketPath);
    const refused = [...replies.values()].filter(
      // The second WaitProcess of a process that was collected; the OOM event that the end of the pod cuts off.
      ({ code, line }) => code !== 0 && !(line.method === "WaitProcess" && code === 5) && line.method !== "GetOOMEvent",
    );
    expect(refused.map(({ line, code, message }) => `${line.n} ${line.method}: ${code} ${message}`)).toEqual([]);
    // DestroySandbox was the last of it: the guest ends by itself, and StopVM comes after.
    await vms.stop("recorded");
    expect(remains()).toEqual(NOTHING);
  });
});

/** The limits of a guest's control groups, whichever version has them. */
function limitsOf(guest: string): { memory: number; cpus: number } {
  const read = (file: string): string | undefined => {
    for (const group of cgroupsWith(`nacre-${guest}`).filter((path) => path.endsWith(`nacre-${guest}`))) {
      if (existsSync(join(group, file))) return readFileSync(join(group, file), "utf8").trim();
    }
    return undefined;
  };
  const [quota, period] = (read("cpu.max") ?? `${read("cpu.cfs_quota_us")} ${read("cpu.cfs_period_us")}`).split(" ");
  return {
    memory: Number(read("memory.max") ?? read("memory.limit_in_bytes")),
    cpus: Number(quota) / Number(period),
  };
}
