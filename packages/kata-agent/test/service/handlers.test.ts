import { AgentService } from "@nacre/protocols";
import { type CallContext, TtrpcClient, TtrpcServer, transportPair } from "@nacre/ttrpc";
import { describe, expect, it } from "vitest";

import { PolicyGate } from "../../src/gate.ts";
import { createLogger } from "../../src/log.ts";
import { OomEvents } from "../../src/oom-events.ts";
import { agentHandlers, type AgentParts, healthHandlers, UNIMPLEMENTED_METHODS } from "../../src/service/index.ts";
import { handlerName } from "../../src/service/unimplemented.ts";

const log = createLogger({ level: "error", version: "0", pid: 1, write: () => undefined });

/** The handlers over parts of which only those that a test gives are there. */
function client(allowed: (rule: string) => boolean, over: Partial<AgentParts> = {}): TtrpcClient {
  const parts = {
    gate: new PolicyGate(
      {
        check: (rule) => Promise.resolve({ allowed: allowed(rule), prints: ["f:1: x"] }),
        mentions: () => true,
      },
      log,
    ),
    containers: { get: () => undefined, list: () => [] },
    storages: { driverNames: ["local"] },
    oomEvents: new OomEvents(),
    log,
    ...over,
  } as unknown as AgentParts;
  const [ours, theirs] = transportPair();
  new TtrpcServer().addService(AgentService, agentHandlers(parts)).serve(ours);
  return new TtrpcClient(theirs);
}

const all = (): boolean => true;
const none = (): boolean => false;

describe("the method table", () => {
  it("has a handler for each of the 42 methods", () => {
    const parts = { log, containers: {}, creator: {}, storages: {} } as unknown as AgentParts;
    const handlers = agentHandlers(parts);
    expect(Object.keys(handlers).sort()).toEqual(Object.keys(AgentService.methods).sort());
    expect(Object.keys(AgentService.methods)).toHaveLength(42);
    expect(Object.keys(healthHandlers()).sort()).toEqual(["Check", "Version"]);
  });

  it.each(Object.entries(AgentService.methods))("puts %s to the policy first", async (name, method) => {
    const empty = method.decodeRequest(new Uint8Array());
    const call = client(none).call(method, empty);
    if (name === "ReadStdout" || name === "ReadStderr") {
      // Read first, and an unknown container is told even when the policy would refuse (golden-findings 18).
      await expect(call).rejects.toMatchObject({ code: 3, message: "InvalidContainerId" });
    } else {
      const rule = method.requestType.replace(/^.*\./, "");
      await expect(call).rejects.toMatchObject({ code: 7, message: `"${rule} is blocked by policy: f:1: x"` });
    }
  });

  it.each(UNIMPLEMENTED_METHODS)("answers %s with UNIMPLEMENTED once the policy allows it", async (name) => {
    const method = AgentService.methods[name];
    const empty = method.decodeRequest(new Uint8Array());
    await expect(client(all).call(method as never, empty)).rejects.toMatchObject({
      code: 12,
      message: `"${handlerName(name)} is not implemented in kata-agent"`,
    });
  });
});

describe("GetMetrics", () => {
  it("answers the text, and only once the policy allows it", async () => {
    const metrics = { text: () => Promise.resolve("kata_agent_scrape_count 1\n") };
    const { GetMetrics } = AgentService.methods;
    expect(await client(all, { metrics }).call(GetMetrics, {})).toEqual({ metrics: "kata_agent_scrape_count 1\n" });
    await expect(client(none, { metrics }).call(GetMetrics, {})).rejects.toMatchObject({ code: 7 });
  });
});

describe("handlerName", () => {
  it.each([
    ["ResizeVolume", "resize_volume"],
    ["SetIPTables", "set_ip_tables"],
    ["AddARPNeighbors", "add_arp_neighbors"],
    ["OnlineCPUMem", "online_cpu_mem"],
    ["MemAgentMemcgSet", "mem_agent_memcg_set"],
  ])("%s", (method, name) => {
    expect(handlerName(method)).toBe(name);
  });
});

describe("reads under a policy that refuses", () => {
  const process = { readStdout: () => Promise.resolve(Buffer.from("secret")) };
  const containers = { get: () => ({ findProcess: () => process }) } as unknown as AgentParts["containers"];
  const request = { container_id: "c1", exec_id: "c1", len: 100 };
  const { ReadStdout } = AgentService.methods;

  it("gives the data when allowed", async () => {
    const { data } = await client(all, { containers }).call(ReadStdout, request);
    expect(Buffer.from(data).toString()).toBe("secret");
  });

  it("gives nothing, and no error, when refused", async () => {
    const { data } = await client(none, { containers }).call(ReadStdout, request);
    expect(data).toHaveLength(0);
  });
});

describe("GetOOMEvent", () => {
  const { GetOOMEvent } = AgentService.methods;

  it("waits for an event and gives it to one caller", async () => {
    const oomEvents = new OomEvents();
    const caller = client(all, { oomEvents });
    const waiting = caller.call(GetOOMEvent, {});
    oomEvents.add("c1");
    expect(await waiting).toEqual({ container_id: "c1" });
  });

  it("ends with the caller's deadline", async () => {
    await expect(client(all).call(GetOOMEvent, {}, { timeoutMs: 1 })).rejects.toMatchObject({ code: 4 });
  });
});

describe("errors on the wire", () => {
  it("carry message and causes, never a stack", async () => {
    const creator = {
      create: (_request: unknown, _signal: CallContext["signal"]) =>
        Promise.reject(new Error("outer", { cause: new Error("inner") })),
    } as unknown as AgentParts["creator"];
    const call = client(all, { creator }).call(AgentService.methods.CreateContainer, { container_id: "c1" });
    await expect(call).rejects.toMatchObject({ code: 13, message: "outer\n\nCaused by:\n    inner" });
  });
});

describe("DestroySandbox", () => {
  it("is done once when it is asked for twice at a time, and ends the agent", async () => {
    const done: string[] = [];
    const removing = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const caller = client(all, {
      creator: {
        close: () => Promise.resolve(),
        remove: (id: string) => {
          done.push(`remove ${id}`);
          asked.resolve();
          return removing.promise;
        },
      } as unknown as AgentParts["creator"],
      containers: { list: () => [{ id: "c1" }] } as unknown as AgentParts["containers"],
      sandbox: {
        destroy: () => {
          done.push("destroy");
          return Promise.resolve();
        },
      } as unknown as AgentParts["sandbox"],
      shutdown: () => done.push("shutdown"),
    });
    const { DestroySandbox } = AgentService.methods;
    const both = [caller.call(DestroySandbox, {}), caller.call(DestroySandbox, {})];
    await asked.promise;
    removing.resolve();
    expect(await Promise.all(both)).toEqual([{}, {}]);
    expect(done).toEqual(["remove c1", "destroy", "shutdown"]);
  });
});
