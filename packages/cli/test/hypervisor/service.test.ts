import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Code } from "@nacre/protocols";
import { RpcError } from "@nacre/ttrpc";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { type HypervisorEvent, type HypervisorOptions, HypervisorService } from "../../src/hypervisor/service.ts";
import { VmRecords } from "../../src/hypervisor/vm-record.ts";
import { FakeMachine } from "./fake-machine.ts";

let folder: string;
let machine: FakeMachine;
let events: HypervisorEvent[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "nacre-hypervisor-"));
  machine = new FakeMachine();
  events = [];
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const service = (options: Partial<HypervisorOptions> = {}): HypervisorService =>
  new HypervisorService({
    machine,
    records: new VmRecords(folder),
    version: "0.1.0",
    maxGuests: 4,
    onEvent: (event) => events.push(event),
    ...options,
  });
const request = (id: string, annotations: Record<string, string> = {}) => ({
  id,
  annotations: { "io.kubernetes.cri.sandbox-name": `pod-${id}`, ...annotations },
  networkNamespacePath: "",
});
const calling = (signal: AbortSignal = new AbortController().signal): { signal: AbortSignal } => ({ signal });
const kinds = (): string[] => events.map(({ event, sandbox }) => `${event} ${sandbox}`);

async function refusal(work: () => unknown): Promise<{ code: number; message: string }> {
  try {
    await work();
  } catch (error) {
    expect(error).toBeInstanceOf(RpcError);
    const { code, message } = error as RpcError;
    return { code, message };
  }
  throw new Error("expected a status");
}

describe("the hypervisor service", () => {
  it("makes a machine of three calls", async () => {
    const vms = service();
    expect(vms.create(request("one"))).toEqual({ agentSocketPath: "/run/nacre/guests/00000001/vsock/1024.sock" });
    expect(machine.started).toEqual([]);
    expect(await vms.start({ id: "one" }, calling())).toEqual({});
    expect(machine.started.map(({ guest, spec }) => [guest, spec.pod])).toEqual([["00000001", "pod-one"]]);
    expect(await vms.stop({ id: "one" })).toEqual({});
    expect(machine.guests.get("00000001")?.stops).toBe(1);
    expect(kinds()).toEqual(["created one", "starting one", "started one", "stopped one"]);
    expect([vms.size, readdirSync(folder)]).toEqual([0, []]);
  });

  it("keeps a pod's initdata no longer than it takes to start", async () => {
    const vms = service();
    const initdata = 'algorithm = "sha256"\nversion = "0.1.0"\n[data]\n';
    vms.create(request("one", { "io.katacontainers.config.hypervisor.cc_init_data": initdata }));
    expect(readFileSync(join(folder, "one.json"), "utf8")).toContain("sha256");
    await vms.start({ id: "one" }, calling());
    expect(machine.started[0]?.spec.initdata).toBe(initdata);
    expect(readFileSync(join(folder, "one.json"), "utf8")).not.toContain("sha256");
  });

  it("tells its version", () => {
    const { Version } = service().handlers();
    expect(Version?.({ version: "" }, calling() as never)).toEqual({ version: "0.1.0" });
  });

  it("refuses a second machine for a sandbox, whatever became of the first", async () => {
    const vms = service();
    vms.create(request("one"));
    const twice = { code: Code.ALREADY_EXISTS, message: "CreateVM: sandbox one has a virtual machine" };
    expect(await refusal(() => vms.create(request("one")))).toEqual(twice);
    await vms.start({ id: "one" }, calling());
    expect(await refusal(() => vms.create(request("one")))).toEqual(twice);
    await vms.stop({ id: "one" });
    expect(vms.create(request("one")).agentSocketPath).toContain("00000002");
  });

  it("refuses what the request may not hold, and what its machine cannot start", async () => {
    const vms = service();
    expect((await refusal(() => vms.create(request("../up")))).code).toBe(Code.INVALID_ARGUMENT);
    const image = { "io.katacontainers.config.hypervisor.image": "unknown" };
    expect((await refusal(() => vms.create(request("one", image)))).message).toBe("CreateVM: image: expected none");
    expect((await refusal(() => vms.start({ id: "" }, calling()))).code).toBe(Code.INVALID_ARGUMENT);
    expect((await refusal(() => vms.stop({ id: "a/b" }))).code).toBe(Code.INVALID_ARGUMENT);
    expect([vms.size, readdirSync(folder), events]).toEqual([0, [], []]);
  });

  it("refuses a start without a machine, a second one, and one after the end", async () => {
    const vms = service();
    const none = {
      code: Code.NOT_FOUND,
      message: "StartVM: no virtual machine was created for sandbox one, or it has ended",
    };
    expect(await refusal(() => vms.start({ id: "one" }, calling()))).toEqual(none);
    vms.create(request("one"));
    machine.held = true;
    const first = vms.start({ id: "one" }, calling());
    const again = {
      code: Code.FAILED_PRECONDITION,
      message: "StartVM: the virtual machine of sandbox one was started before",
    };
    expect(await refusal(() => vms.start({ id: "one" }, calling()))).toEqual(again);
    machine.go.get("00000001")?.();
    await first;
    expect(await refusal(() => vms.start({ id: "one" }, calling()))).toEqual(again);
    await vms.stop({ id: "one" });
    expect(await refusal(() => vms.start({ id: "one" }, calling()))).toEqual(none);
  });

  it("has so many places and no more, also for those that were only asked for", async () => {
    const vms = service({ maxGuests: 2 });
    vms.create(request("one"));
    vms.create(request("two"));
    expect(await refusal(() => vms.create(request("three")))).toEqual({
      code: Code.RESOURCE_EXHAUSTED,
      message: "CreateVM: expected at most 2 guests at one time",
    });
    await vms.stop({ id: "one" });
    vms.create(request("three"));
    expect(vms.size).toBe(2);
  });

  it("ends a sandbox that it does not know without a word", async () => {
    expect(await service().stop({ id: "never-seen" })).toEqual({});
    expect(events).toEqual([]);
  });

  it("leaves nothing of a start that fails, and says why", async () => {
    const vms = service();
    vms.create(request("one"));
    machine.held = true;
    const start = refusal(() => vms.start({ id: "one" }, calling()));
    machine.go.get("00000001")?.(new Error("no room", { cause: new Error("the disk is full") }));
    expect(await start).toEqual({
      code: Code.INTERNAL,
      message: "StartVM: sandbox one: no room: the disk is full",
    });
    expect([vms.size, readdirSync(folder)]).toEqual([0, []]);
    expect(events.at(-1)).toMatchObject({ event: "failed", reason: "no room: the disk is full" });
    expect(await vms.stop({ id: "one" })).toEqual({});
  });

  it("gives up a start when its caller does", async () => {
    const vms = service();
    vms.create(request("one"));
    machine.held = true;
    const caller = new AbortController();
    const start = refusal(() => vms.start({ id: "one" }, calling(caller.signal)));
    caller.abort(new RpcError(Code.DEADLINE_EXCEEDED, "timeout"));
    expect(await start).toEqual({ code: Code.DEADLINE_EXCEEDED, message: "timeout" });
    expect([vms.size, readdirSync(folder), machine.guests.size]).toEqual([0, [], 0]);
  });

  it("stops a guest whose caller gave up at the last moment", async () => {
    const vms = service();
    vms.create(request("one"));
    machine.held = true;
    const caller = new AbortController();
    const start = refusal(() => vms.start({ id: "one" }, calling(caller.signal)));
    // The guest is up; the abort comes before the service has seen it.
    machine.go.get("00000001")?.();
    caller.abort(new RpcError(Code.CANCELLED, "client closed the connection"));
    expect((await start).code).toBe(Code.CANCELLED);
    expect(machine.guests.get("00000001")?.stops).toBe(1);
    expect(vms.size).toBe(0);
  });

  it("ends a machine that is being started, for both callers", async () => {
    const vms = service();
    vms.create(request("one"));
    machine.held = true;
    const start = refusal(() => vms.start({ id: "one" }, calling()));
    const stops = [vms.stop({ id: "one" }), vms.stop({ id: "one" })];
    expect(await start).toEqual({
      code: Code.ABORTED,
      message: "StartVM: the virtual machine was stopped while it started",
    });
    expect(await Promise.all(stops)).toEqual([{}, {}]);
    expect([vms.size, readdirSync(folder)]).toEqual([0, []]);
  });

  it("forgets a guest that ends by itself", async () => {
    const vms = service();
    vms.create(request("one"));
    await vms.start({ id: "one" }, calling());
    machine.guests.get("00000001")?.end();
    await machine.guests.get("00000001")?.ended;
    expect(kinds().at(-1)).toBe("ended one");
    expect([vms.size, readdirSync(folder)]).toEqual([0, []]);
    expect(await vms.stop({ id: "one" })).toEqual({});
  });

  it("keeps a machine that could not be ended, so that it can be asked again", async () => {
    const vms = service();
    vms.create(request("one"));
    await vms.start({ id: "one" }, calling());
    const guest = machine.guests.get("00000001");
    if (guest !== undefined) guest.refusals = 1;
    await expect(vms.stop({ id: "one" })).rejects.toThrow("the cgroup is busy");
    expect(vms.size).toBe(1);
    expect(await vms.stop({ id: "one" })).toEqual({});
    expect([vms.size, readdirSync(folder)]).toEqual([0, []]);
  });

  it("drops a machine whose start never comes", async () => {
    const dropped = Promise.withResolvers<HypervisorEvent>();
    const onEvent = (event: HypervisorEvent): void => {
      if (event.event === "dropped") dropped.resolve(event);
    };
    const vms = service({ startWithinMs: 0, onEvent });
    vms.create(request("one"));
    expect(await dropped.promise).toMatchObject({ sandbox: "one", reason: "no StartVM came within 0 s" });
    expect([vms.size, readdirSync(folder)]).toEqual([0, []]);
  });

  it("starts many at one time, each once", async () => {
    const vms = service({ maxGuests: 100 });
    const ids = Array.from({ length: 100 }, (_, i) => `vm-${i}`);
    const sockets = ids.map((id) => vms.create(request(id)).agentSocketPath);
    expect(new Set(sockets).size).toBe(100);
    await Promise.all(ids.map((id) => vms.start({ id }, calling())));
    expect(machine.started).toHaveLength(100);
    await Promise.all(ids.map((id) => vms.stop({ id })));
    expect(vms.size).toBe(0);
  });
});

describe("a guest whose shim", () => {
  const shim = { pid: 4242, startTime: "1", bootId: "b" };

  it("was killed ends, as nobody else asks for it", async () => {
    const killed = Promise.withResolvers<void>();
    const dropped = Promise.withResolvers<HypervisorEvent>();
    const seen: unknown[] = [];
    const vms = service({
      runtimeEnd: (runtime) => {
        seen.push(runtime);
        return killed.promise;
      },
      onEvent: (event) => {
        if (event.event === "dropped") dropped.resolve(event);
      },
    });
    vms.create(request("one"));
    await vms.start({ id: "one" }, calling(), shim);
    expect(seen).toEqual([shim]);
    killed.resolve();
    expect(await dropped.promise).toMatchObject({ sandbox: "one", reason: "its runtime has ended" });
    expect(machine.guests.get("00000001")?.stops).toBe(1);
    expect([vms.size, readdirSync(folder)]).toEqual([0, []]);
  });

  it("asks for its end is watched no longer", async () => {
    let signal: AbortSignal | undefined;
    const runtimeEnd: HypervisorOptions["runtimeEnd"] = (_runtime, given) => {
      signal = given;
      return new Promise((_resolve, reject) => {
        given.addEventListener("abort", () => reject(given.reason as Error), { once: true });
      });
    };
    const vms = service({ runtimeEnd });
    vms.create(request("one"));
    await vms.start({ id: "one" }, calling(), shim);
    expect(signal?.aborted).toBe(false);
    await vms.stop({ id: "one" });
    expect(signal?.aborted).toBe(true);
    expect(kinds()).toEqual(["created one", "starting one", "started one", "stopped one"]);
  });

  it("ended while no server ran ends with the next server", async () => {
    const runtimeEnd: HypervisorOptions["runtimeEnd"] = () => new Promise(() => {});
    const before = service({ runtimeEnd });
    before.create(request("one"));
    await before.start({ id: "one" }, calling(), shim);
    await before.close();
    // That process is none of this machine's.
    const dropped = Promise.withResolvers<HypervisorEvent>();
    const after = service({
      onEvent: (event) => {
        if (event.event === "dropped") dropped.resolve(event);
      },
    });
    await after.recover();
    expect(await dropped.promise).toMatchObject({ sandbox: "one", reason: "its runtime has ended" });
    expect([after.size, readdirSync(folder)]).toEqual([0, []]);
  });
});

describe("a service that starts anew", () => {
  it("finds what runs, what was asked for, and drops the rest", async () => {
    const before = service();
    for (const id of ["running", "asked", "gone"]) before.create(request(id));
    await before.start({ id: "running" }, calling());
    await before.start({ id: "gone" }, calling());
    machine.guests.delete("00000003");
    await before.close();
    events.length = 0;

    const after = service();
    await after.recover();
    expect(kinds().sort()).toEqual(["dropped gone", "found asked", "found running"]);
    expect(events.find(({ event }) => event === "dropped")?.reason).toBe("it ended while no server ran");
    expect(readdirSync(folder).sort()).toEqual(["asked.json", "running.json"]);
    expect((await refusal(() => after.create(request("running")))).code).toBe(Code.ALREADY_EXISTS);
    expect((await refusal(() => after.start({ id: "running" }, calling()))).code).toBe(Code.FAILED_PRECONDITION);
    await after.start({ id: "asked" }, calling());
    await after.stop({ id: "asked" });
    await after.stop({ id: "running" });
    expect(machine.guests.get("00000001")?.stops).toBe(1);
    expect([after.size, readdirSync(folder)]).toEqual([0, []]);
  });

  it("notices that a guest ends which it only found", async () => {
    const before = service();
    before.create(request("one"));
    await before.start({ id: "one" }, calling());
    const after = service();
    await after.recover();
    machine.guests.get("00000001")?.end();
    await machine.guests.get("00000001")?.ended;
    expect(after.size).toBe(0);
  });

  it("ends what was half started when its server was killed", async () => {
    const before = service();
    before.create(request("one"));
    machine.held = true;
    void before.start({ id: "one" }, calling()).catch(() => {});
    // The guest came up; the server that was to tell the runtime is gone.
    machine.held = false;
    const records = machine.started.slice();
    for (const record of records) await machine.start(record, new AbortController().signal);
    const after = service();
    await after.recover();
    expect(machine.guests.get("00000001")?.stops).toBe(1);
    expect([after.size, readdirSync(folder)]).toEqual([0, []]);
    expect(events.at(-1)?.reason).toBe("its start was cut off");
  });

  it("ends a start that is under way when it closes, and leaves what runs", async () => {
    const vms = service();
    vms.create(request("one"));
    vms.create(request("two"));
    await vms.start({ id: "one" }, calling());
    machine.held = true;
    const start = refusal(() => vms.start({ id: "two" }, calling()));
    await vms.close();
    expect(await start).toEqual({ code: Code.UNAVAILABLE, message: "StartVM: the server ends" });
    expect(machine.guests.get("00000001")?.stops).toBe(0);
    expect(readdirSync(folder)).toEqual(["one.json"]);
  });
});
