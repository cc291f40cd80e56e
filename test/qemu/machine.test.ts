import { existsSync, readdirSync, readFileSync, watch } from "node:fs";
import { join } from "node:path";

import { type Guest, listGuests, NacreError, startGuest, sweep } from "@nacre/cli";
import { AgentService, Health } from "@nacre/protocols";
import { TtrpcClient } from "@nacre/ttrpc";
import { dial } from "@nacre/vsock";
import { describe, expect, it } from "vitest";

import { guestLayout } from "../../packages/cli/src/guest/layout.ts";
import { processEnd } from "../../packages/cli/src/guest/process-end.ts";
import { type GuestState, readState } from "../../packages/cli/src/guest/state.ts";
import { AttackedGuest } from "../fixtures/attacked-guest.ts";
import { QEMU } from "../fixtures/guest-kind.ts";
import { ownStateRoot } from "../fixtures/state-root.ts";
import { guestTraces, NOTHING } from "../fixtures/guest-traces.ts";
import { machineFacts } from "../fixtures/machine-facts.ts";
import { talkingImage } from "../fixtures/talking-kernel.ts";

const stateRoot = ownStateRoot();

async function check(address: string): Promise<number> {
  const client = new TtrpcClient(await dial(address, { timeoutMs: 60_000 }));
  try {
    return (await client.call(Health.methods.Check, {}, { timeoutMs: 60_000 })).status;
  } finally {
    client.close();
  }
}

/** What the kernel makes of a command line that does not mean well (nvrc-and-guest-image 5.3). */
const TRAPS: readonly string[] = [
  "NODE_OPTIONS=--require=/run/evil.js",
  "LD_PRELOAD=/dev/vda1",
  "NODE_EXTRA_CA_CERTS=/dev/vdb",
  "bare",
  "/run/evil.mjs",
  'quoted="a agent.log=trace agent.guest_components_procs=none b"',
];

describe("a virtual machine of 256 MiB", () => {
  it("boots past every trap on its command line, runs a pod, survives its hub, and powers off", async () => {
    const before = machineFacts();
    const logFile = join(stateRoot(), "log");
    const attacked = await AttackedGuest.start({
      stateRoot: stateRoot(),
      logFile,
      memoryBytes: 256 * 1024 * 1024,
      kernelParameters: TRAPS,
    });
    const { guest } = attacked.guest;
    expect(await check(guest.agentAddress)).toBe(1);
    expect(await check(guest.hybridAddress)).toBe(1);
    expect(listGuests(stateRoot()).map(({ id, kind }) => [id, kind])).toEqual([[guest.id, "qemu"]]);

    // The kernel gives unknown parameters to its first process, as environment and as arguments.
    const daemons = await attacked.look(() => {
      const fs = process.getBuiltinModule("node:fs");
      const read = (pid: string, file: string): string[] =>
        fs.readFileSync(`/proc/${pid}/${file}`, "latin1").split("\0").filter(Boolean);
      return fs
        .readdirSync("/proc")
        .filter((pid) => /^\d+$/u.test(pid))
        .map((pid) => ({ pid, args: read(pid, "cmdline"), environment: read(pid, "environ").sort() }))
        .filter(({ args }) => args[0] === "/usr/bin/node");
    }, null);
    const programs = daemons.map(({ args }) =>
      args.find((argument) => /^\/usr\/s?bin\/(?!node)|^\/usr\/l/u.test(argument)),
    );
    for (const name of ["nvrc", "kata-agent", "attestation-agent", "confidential-data-hub", "api-server-rest"]) {
      expect(programs.filter((program) => program?.includes(name))).toHaveLength(1);
    }
    for (const { environment, args } of daemons) {
      expect(environment.join("\n")).not.toMatch(/^(?:NODE_|LD_|quoted)/mu);
      expect(args.join("\n")).not.toMatch(/bare|evil/u);
    }
    // Nothing within the quotes was a parameter.
    expect(guest.log()).not.toMatch(/"level":"(?:DEBUG|TRACE)"/u);

    await crashHub(attacked, guest);
    expect(await attacked.print("after", ["echo", "works"])).toBe("works\n");

    await attacked[Symbol.asyncDispose]();
    expect(readFileSync(logFile, "utf8")).toContain("reboot: Power down");
    expect(guestTraces(stateRoot(), guest.id)).toEqual(NOTHING);
    expect(machineFacts(`nacre-${guest.id}`)).toEqual(before);
  });
});

/** Kills the hub in the guest; resolves when another one listens. */
async function crashHub(attacked: AttackedGuest, guest: Guest): Promise<void> {
  const listening = (): number => guest.log().split("confidential-data-hub] listening on").length;
  const first = listening();
  await attacked.look(() => {
    const fs = process.getBuiltinModule("node:fs");
    for (const pid of fs.readdirSync("/proc").filter((name) => /^\d+$/u.test(name))) {
      const command = fs.readFileSync(`/proc/${pid}/cmdline`, "latin1");
      if (command.includes("bin/confidential-data-hub")) process.kill(Number(pid), "SIGKILL");
    }
    return null;
  }, null);
  await changed(guest.logFile, () => listening() > first);
}

describe("a virtual machine that does not start", () => {
  it.each([
    ["QEMU", (state: GuestState) => state.init, "the guest ended with SIGKILL"],
    ["its vsock device", (state: GuestState) => state.helpers[0], "the end of its vsock device, SIGKILL"],
  ] as const)("because %s is killed leaves nothing", async (_what, victim, text) => {
    const before = machineFacts();
    const starting = startGuest({ ...QEMU, stateRoot: stateRoot() });
    starting.catch(() => {});
    const state = await machineState();
    process.kill(victim(state)?.pid ?? 0, "SIGKILL");
    await expect(starting).rejects.toThrow(text);
    expect(guestTraces(stateRoot(), state.id)).toEqual(NOTHING);
    expect(machineFacts()).toEqual(before);
  });

  it("because its supervisor is killed is cleared away by the next command", async () => {
    const starting = startGuest({ ...QEMU, stateRoot: stateRoot() });
    const refused = expect(starting).rejects.toThrow(NacreError);
    const { id, supervisor, init, helpers } = await machineState();
    process.kill(supervisor?.pid ?? 0, "SIGKILL");
    // Neither outlives whoever keeps the guest's sockets.
    for (const identity of [init, ...helpers]) if (identity !== undefined) await processEnd(identity);
    await refused;
    await sweep(stateRoot());
    expect(guestTraces(stateRoot(), id)).toEqual(NOTHING);
  });

  it("because its emulated processors hang is started again once, with one thread for all of them", async () => {
    const image = join(stateRoot(), "image");
    talkingImage(image, "[   28.060000] watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [swapper/1:0]\n");
    const abort = new AbortController();
    const notes: string[] = [];
    const noted = Promise.withResolvers<void>();
    const onNote = (note: string): void => {
      notes.push(note);
      noted.resolve();
    };
    const starting = startGuest({ ...QEMU, stateRoot: stateRoot(), image, onNote, signal: abort.signal });
    const refused = expect(starting).rejects.toThrow(NacreError);
    const first = await machineState();
    expect(threadsOf(first)).toBe("thread=multi");
    await noted.promise;
    const layout = guestLayout(stateRoot(), first.id);
    let second: GuestState | undefined;
    await changed(layout.folder, () => {
      second = readState(layout);
      return second?.init !== undefined && second.init.pid !== first.init?.pid;
    });
    expect(threadsOf(second)).toBe("thread=single");
    expect(readFileSync(layout.log, "utf8")).toContain("nacre QEMU's emulated processors have hung");
    abort.abort();
    await refused;
    expect(notes).toEqual([
      "QEMU's emulated processors have hung (the kernel tells of a soft lockup): started again, with one thread for all of them",
    ]);
    expect(guestTraces(stateRoot(), first.id)).toEqual(NOTHING);
  });

  it("is given up when the caller gives up", async () => {
    const abort = new AbortController();
    const starting = startGuest({ ...QEMU, stateRoot: stateRoot(), signal: abort.signal });
    const refused = expect(starting).rejects.toThrow(NacreError);
    const { id } = await machineState();
    abort.abort();
    await refused;
    expect(guestTraces(stateRoot(), id)).toEqual(NOTHING);
  });

  it("says why in the guest's own words", async () => {
    await expect(
      startGuest({ ...QEMU, stateRoot: stateRoot(), policy: "package agent_policy\nnonsense" }),
    ).rejects.toThrow(
      /the guest did not start: .*kata-agent: policy of initdata: .*NVRC panic: kata-agent ended with status 1/su,
    );
    await expect(startGuest({ ...QEMU, stateRoot: stateRoot(), initdata: "nonsense" })).rejects.toThrow("initdata");
    await expect(startGuest({ ...QEMU, stateRoot: stateRoot(), image: "/no/image" })).rejects.toThrow(
      "run `make rootfs`",
    );
    expect(readdirSync(join(stateRoot(), "guests"))).toEqual([]);
  });
});

describe("a policy that refuses the network", () => {
  it("has its way: the guest starts without one and says so", async () => {
    const policy =
      "package agent_policy\ndefault ListInterfacesRequest := true\ndefault UpdateInterfaceRequest := false\n";
    const guest = await startGuest({ ...QEMU, stateRoot: stateRoot(), policy });
    expect(guest.networkRefusal).toContain("UpdateInterfaceRequest is blocked by policy");
    const client = new TtrpcClient(await dial(guest.agentAddress));
    const { Interfaces } = await client.call(AgentService.methods.ListInterfaces, {});
    expect(Interfaces.map(({ name, IPAddresses }) => [name, IPAddresses.length])).toContainEqual(["eth0", 0]);
    client.close();
    // Nor may it be asked to end: then it is switched off.
    await guest.stop();
    expect(guestTraces(stateRoot(), guest.id)).toEqual(NOTHING);
  });
});

/** How QEMU emulates a guest's processors. */
function threadsOf(state: GuestState | undefined): string | undefined {
  const argv = readFileSync(`/proc/${state?.init?.pid}/cmdline`, "latin1");
  return /\0tcg,(thread=\w+)\0/u.exec(argv)?.[1];
}

/** The state of the one guest that starts, as soon as its machine runs. */
async function machineState(): Promise<GuestState> {
  const guests = join(stateRoot(), "guests");
  await changed(stateRoot(), () => existsSync(guests));
  await changed(guests, () => readdirSync(guests).length === 1);
  const layout = guestLayout(stateRoot(), readdirSync(guests)[0] ?? "");
  let state: GuestState | undefined;
  await changed(layout.folder, () => {
    state = readState(layout);
    return state?.init !== undefined;
  });
  if (state === undefined) throw new Error("expected the state of a guest");
  return state;
}

/** Resolves when the condition holds, looked at again on every change there. */
async function changed(path: string, condition: () => boolean): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const look = (): void => {
    if (condition()) resolve();
  };
  const watcher = watch(path, look);
  look();
  await promise;
  watcher.close();
}
