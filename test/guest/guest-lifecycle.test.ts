import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join, resolve } from "node:path";

import { type Guest, listGuests, NacreError, startGuest, stopGuest, sweep } from "@nacre/cli";
import { formatInitdata, initdataDigest } from "@nacre/kbs-protocol";
import { AgentService, Health } from "@nacre/protocols";
import { TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { identityOf, type ProcessIdentity } from "../../packages/cli/src/guest/identity.ts";
import { processEnd } from "../../packages/cli/src/guest/process-end.ts";
import { changed } from "../fixtures/changed.ts";
import { guestLogged } from "../fixtures/guest-log.ts";
import { guestTraces, NOTHING } from "../fixtures/guest-traces.ts";
import { cgroupsWith, clockOffset, machineFacts } from "../fixtures/machine-facts.ts";

let stateRoot: string;
beforeEach(() => {
  // Sockets have short names only: not below the system's temporary folder.
  stateRoot = mkdtempSync("/run/nacre-test-");
});
afterEach(async () => {
  for (const guest of listGuests(stateRoot)) await guest.stop();
  await sweep(stateRoot);
  rmSync(stateRoot, { recursive: true });
});

/** The guest's file system as the kernel shows it of a process inside. */
const inside = (guest: Guest, path: string): string => `/proc/${guest.initPid}/root${path}`;

async function check(address: string): Promise<number> {
  const client = new TtrpcClient(await dial(address, { timeoutMs: 30_000 }));
  try {
    return (await client.call(Health.methods.Check, {}, { timeoutMs: 30_000 })).status;
  } finally {
    client.close();
  }
}

const tracesOf = (id: string): object => guestTraces(stateRoot, id);

describe("a simulated guest", () => {
  it("answers on both sockets, and leaves the machine as it was", async () => {
    const before = machineFacts();
    const offset = clockOffset();
    const guest = await startGuest({ stateRoot });
    expect(await check(guest.agentAddress)).toBe(1);
    expect(await check(guest.hybridAddress)).toBe(1);
    expect(listGuests(stateRoot).map(({ id }) => id)).toEqual([guest.id]);

    const during = machineFacts(`nacre-${guest.id}`);
    expect(during.interfaces).toContain(`nacre-${guest.id}`);
    expect({ ...during, interfaces: [], addresses: [] }).toEqual({ ...before, interfaces: [], addresses: [] });
    expect(during.addresses.filter((address) => !before.addresses.includes(address))).toContain(
      `nacre-${guest.id} ${guest.gateway}/30`,
    );

    await guest.stop();
    expect(tracesOf(guest.id)).toEqual(NOTHING);
    expect(machineFacts(`nacre-${guest.id}`)).toEqual(before);
    expect(Math.abs(clockOffset() - offset)).toBeLessThan(1000);
    expect(listGuests(stateRoot)).toEqual([]);
  });

  it("has namespaces, a root and control groups of its own", async () => {
    const guest = await startGuest({ stateRoot });
    const namespace = (pid: number | "self", kind: string): bigint =>
      statSync(`/proc/${pid}/ns/${kind}`, { bigint: true }).ino;
    for (const kind of ["mnt", "pid", "net", "uts", "ipc", "cgroup"]) {
      expect([kind, namespace(guest.initPid, kind)]).not.toEqual([kind, namespace("self", kind)]);
    }
    expect(readFileSync(`/proc/${guest.initPid}/cgroup`, "utf8")).toContain(`/nacre-${guest.id}`);
    const mounts = readFileSync(`/proc/${guest.initPid}/mountinfo`, "utf8");
    const roots = mounts.split("\n").filter((line) => line.split(" ")[4] === "/");
    expect(roots).toHaveLength(1);
    expect(roots[0]).toMatch(/ \/ \/ ro,.* - overlay /u);
    for (const path of ["/bin/sh", "/bin/bash", "/usr/bin/busybox", "/usr/bin/dpkg"]) {
      expect([path, existsSync(inside(guest, path))]).toEqual([path, false]);
    }
    expect(readdirSync(inside(guest, "/dev")).sort()).toEqual(
      "fd full log null ptmx pts random shm stderr stdin stdout tty urandom zero".split(" "),
    );
    expect(readFileSync(`/proc/${guest.initPid}/environ`, "utf8")).toBe("PATH=/usr/sbin:/usr/bin:/sbin:/bin\0");
  });

  it("sees its own kernel command line, files and policy", async () => {
    const policy = "package agent_policy\ndefault GuestDetailsRequest := true\n";
    const guest = await startGuest({
      stateRoot,
      kernelParameters: ["agent.log=debug", 'quoted="a b"'],
      policy,
      files: [{ path: "/srv/one/two", content: "hello", mode: 0o600 }],
    });
    expect(readFileSync(inside(guest, "/proc/cmdline"), "utf8")).toBe(
      'agent.server_addr=unix:///run/vsock/1024.sock agent.log=debug quoted="a b"\n',
    );
    expect(readFileSync(inside(guest, "/srv/one/two"), "utf8")).toBe("hello");
    expect(statSync(inside(guest, "/srv/one/two")).mode & 0o777).toBe(0o600);
    const client = new TtrpcClient(await dial(guest.agentAddress));
    await client.call(AgentService.methods.GetGuestDetails, {});
    await expect(client.call(AgentService.methods.CreateSandbox, {})).rejects.toThrow("CreateSandboxRequest");
    client.close();
    // The tree that others use is untouched.
    const tree = resolve(import.meta.dirname, "../../build/guest-rootfs/tree");
    expect(existsSync(join(tree, "srv/one"))).toBe(false);
    expect(readFileSync(join(tree, "etc/kata-opa/default-policy.rego"), "utf8")).not.toBe(policy);
  });

  it("takes its policy from initdata, which stands in a disk's place", async () => {
    const policy = "package agent_policy\ndefault GuestDetailsRequest := true\n";
    const initdata = formatInitdata({ algorithm: "sha256", data: new Map([["policy.rego", policy]]) });
    const guest = await startGuest({ stateRoot, initdata });
    const client = new TtrpcClient(await dial(guest.agentAddress));
    await client.call(AgentService.methods.GetGuestDetails, {});
    await expect(client.call(AgentService.methods.CreateSandbox, {})).rejects.toThrow("CreateSandboxRequest");
    client.close();
    await guestLogged(guest, initdataDigest(Buffer.from(initdata), "sha256").toString("hex"));
    expect(readFileSync(inside(guest, "/run/confidential-containers/initdata/initdata.toml"), "utf8")).toBe(initdata);
  });

  it("powers off when it is asked to, in order", async () => {
    const logFile = join(stateRoot, "log");
    const guest = await startGuest({ stateRoot, logFile });
    await guest.stop();
    const log = readFileSync(logFile, "utf8");
    expect(log).toContain("NVRC asked to power off");
    expect(log).toContain("NVRC kata-agent ended with");
    // The end of the machine is recorded, not done.
    expect(log).toContain("NVRC effect powerOff []");
  });

  it("ends when its agent ends, and nothing stays", async () => {
    const guest = await startGuest({ stateRoot });
    const client = new TtrpcClient(await dial(guest.agentAddress));
    await client.call(AgentService.methods.CreateSandbox, { sandbox_id: "ends", hostname: "ends" });
    await client.call(AgentService.methods.DestroySandbox, {});
    await guest.ended;
    expect(tracesOf(guest.id)).toEqual(NOTHING);
    client.close();
  });

  it("runs beside another one", async () => {
    const [one, two] = await Promise.all([startGuest({ stateRoot }), startGuest({ stateRoot })]);
    expect(one.id).not.toBe(two.id);
    expect(one.gateway).not.toBe(two.gateway);
    await one.stop();
    expect(tracesOf(one.id)).toEqual(NOTHING);
    expect(await check(two.agentAddress)).toBe(1);
    await stopGuest(two.id, stateRoot);
    expect(tracesOf(two.id)).toEqual(NOTHING);
  });

  it("is held to its memory", async () => {
    const guest = await startGuest({ stateRoot, memoryBytes: 512 * 1024 * 1024 });
    const [limit] = cgroupsWith(`nacre-${guest.id}`).flatMap((folder) =>
      ["memory.max", "memory.limit_in_bytes"]
        .map((name) => join(folder, name))
        .filter((file) => existsSync(file))
        .map((file) => readFileSync(file, "utf8").trim()),
    );
    expect(limit).toBe(String(512 * 1024 * 1024));
  });
});

describe("a guest that cannot start", () => {
  it("says why, with the guest's own words, and leaves nothing", async () => {
    const before = machineFacts();
    await expect(startGuest({ stateRoot, policy: "package agent_policy\nthis is no rego" })).rejects.toThrow(
      /the guest did not start: .*default-policy\.rego/su,
    );
    expect(readdirSync(join(stateRoot, "guests"))).toEqual([]);
    expect(machineFacts()).toEqual(before);
  });

  it.for([
    ["a relative path", { files: [{ path: "etc/x", content: "" }] }, "plain absolute path"],
    ["a path with ..", { files: [{ path: "/etc/../x", content: "" }] }, "plain absolute path"],
    ["a file of nothing", { files: [{ path: "/x" }] }, "expected a source or a content"],
    ["a file that is not there", { files: [{ path: "/x", source: "/no/such" }] }, "expected a file /no/such"],
    ["two lines of parameters", { kernelParameters: ["a\nb"] }, "expected one line"],
    ["a long command line", { kernelParameters: ["x".repeat(3000)] }, "at most 2048 bytes"],
    ["too little memory", { memoryBytes: 4096 }, "at least"],
    ["a tree that is not there", { tree: "/no/tree" }, "/no/tree"],
  ] as const)("refuses %s", async ([, options, text]) => {
    await expect(startGuest({ stateRoot, ...options })).rejects.toThrow(text);
    expect(existsSync(join(stateRoot, "guests")) ? readdirSync(join(stateRoot, "guests")) : []).toEqual([]);
  });

  it("is given up when the caller gives up", async () => {
    const giveUp = new AbortController();
    const starting = startGuest({ stateRoot, signal: giveUp.signal });
    giveUp.abort();
    await expect(starting).rejects.toThrow(NacreError);
    expect(readdirSync(join(stateRoot, "guests"))).toEqual([]);
  });
});

describe("what a killed command leaves", () => {
  const supervisorOf = (guest: Guest): number =>
    (JSON.parse(readFileSync(guest.layout.state, "utf8")) as { supervisor: { pid: number } }).supervisor.pid;

  it("the next command finds and clears away: a killed supervisor", async () => {
    const guest = await startGuest({ stateRoot });
    process.kill(supervisorOf(guest), "SIGKILL");
    // The guest must not outlive whoever keeps its log and its sockets.
    const init = identityOf(guest.initPid);
    if (init !== undefined) await processEnd(init);
    expect(existsSync(guest.layout.folder)).toBe(true);
    expect(cgroupsWith(guest.id).length).toBeGreaterThan(0);
    expect(listGuests(stateRoot)).toEqual([]);
    expect(await sweep(stateRoot)).toEqual([guest.id]);
    expect(tracesOf(guest.id)).toEqual(NOTHING);
    expect(await sweep(stateRoot)).toEqual([]);
  });

  it("two that clear away at once do not disturb each other", async () => {
    const guest = await startGuest({ stateRoot });
    process.kill(supervisorOf(guest), "SIGKILL");
    await Promise.all([guest.ended, sweep(stateRoot), sweep(stateRoot)]);
    expect(tracesOf(guest.id)).toEqual(NOTHING);
  });

  it("a guest whose starter was killed half way goes by itself", async () => {
    const guests = join(stateRoot, "guests");
    const program = resolve(import.meta.dirname, "../fixtures/start-and-wait.ts");
    const starter = spawn(process.execPath, ["--conditions=source", program, stateRoot], { stdio: "ignore" });
    const exited = once(starter, "exit");
    // Killed when the first file of the guest is there.
    await changed(stateRoot, () => existsSync(guests));
    await changed(guests, () => readdirSync(guests).length === 1);
    const [id = ""] = readdirSync(guests);
    let supervisor: ProcessIdentity = { pid: 0, startTime: "", bootId: "" };
    await changed(join(guests, id), () => {
      supervisor = supervisorIn(join(guests, id, "state.json")) ?? supervisor;
      return supervisor.pid > 0;
    });
    starter.kill("SIGKILL");
    await exited;
    await processEnd(supervisor);
    expect(tracesOf(id)).toEqual(NOTHING);
  });

  it("a guest stays when its starter is killed afterwards", async () => {
    const program = resolve(import.meta.dirname, "../fixtures/start-and-wait.ts");
    const starter = spawn(process.execPath, ["--conditions=source", program, stateRoot], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exited = once(starter, "exit");
    const [line] = (await once(starter.stdout, "data")) as [Buffer];
    starter.kill("SIGKILL");
    await exited;
    expect(await sweep(stateRoot)).toEqual([]);
    const [guest] = listGuests(stateRoot);
    expect(guest?.id).toBe(line.toString().trim());
    expect(await check(guest?.agentAddress ?? "")).toBe(1);
  });
});

function supervisorIn(path: string): ProcessIdentity | undefined {
  try {
    return (JSON.parse(readFileSync(path, "utf8")) as { supervisor?: ProcessIdentity }).supervisor;
  } catch {
    return undefined;
  }
}
