import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";

import { NacreCommand } from "../fixtures/nacre-command.ts";
import { busyboxImage, startRegistry } from "../fixtures/registry.ts";

interface Row {
  readonly subject: string;
  readonly step: string;
  readonly detail: string;
  readonly begin: number;
  readonly lasted: number;
}
interface Trace {
  readonly guest: string;
  readonly rows: readonly Row[];
  readonly milestones: Readonly<Record<string, number>>;
}

const BOOT = ["nvrc.node", "nvrc.mounts", "nvrc.agent", "kata-agent.node", "kata-agent.policy", "kata-agent.launch"];

describe("nacre trace", () => {
  let state: string;
  let nacre: NacreCommand;
  beforeAll(() => {
    state = mkdtempSync("/run/nacre-trace-");
    nacre = new NacreCommand(state);
  });
  afterEach(() => nacre.run(["guest", "stop", "--all"]));
  afterAll(() => rmSync(state, { recursive: true, force: true }));

  const names = ({ rows }: Trace): string[] => rows.map(({ subject, step }) => `${subject}.${step}`);

  it("boots a guest and shows it, from the host's first step to the agent's answer; nothing stays", async () => {
    const html = join(state, "boot.html");
    const traced = await nacre.json<Trace>(["trace", "--json", "--html", html]);
    const order = names(traced);
    const expected = [
      "supervisor.namespaces",
      "stage.root",
      ...BOOT,
      "confidential-data-hub.listening",
      "kata-agent.listening",
    ];
    expect(order).toEqual(expect.arrayContaining(expected));
    const { componentsReady = NaN, agentListening = NaN, agentAnswering = NaN } = traced.milestones;
    expect(componentsReady).toBeGreaterThan(0);
    expect(agentListening).toBeGreaterThanOrEqual(componentsReady);
    expect(agentAnswering).toBeGreaterThanOrEqual(agentListening);
    // One clock: what is started begins after the start of what starts it.
    const begin = (name: string): number => traced.rows[order.indexOf(name)]?.begin ?? NaN;
    expect(begin("nvrc.node")).toBeGreaterThan(begin("stage.root"));
    expect(begin("kata-agent.node")).toBeGreaterThan(begin("nvrc.agent"));
    expect(begin("confidential-data-hub.node")).toBeGreaterThan(begin("kata-agent.launch"));
    expect(begin("kata-agent.listening")).toBeGreaterThan(begin("confidential-data-hub.listening"));
    expect(readFileSync(html, "utf8")).toContain(`<h1>Boot of guest ${traced.guest}</h1>`);
    expect(await nacre.json(["guest", "list", "--json"])).toEqual([]);
  });

  it("follows an image through its pull to the first output, in a guest that was started for it", async () => {
    const { id, gateway } = await nacre.json<{ id: string; gateway: string }>(["guest", "start", "--trace", "--json"]);
    await using registry = await startRegistry({ address: gateway });
    await busyboxImage(registry, "app:1");
    const command = ["--", "sh", "-c", "echo one; sleep 1000"];
    const image = `${registry.address}/app:1`;
    const shown = await nacre.run(["trace", "--guest", id, image, ...command]);
    expect(shown).toMatchObject({ status: 0, stderr: "one\n" });
    expect(shown.stdout).toMatch(/first output \d+ ms\n/u);
    const traced = await nacre.json<Trace>(["trace", "--guest", id, "--json"]);
    const order = names(traced);
    const calls = traced.rows.filter(({ step }) => step === "call").map(({ detail }) => detail.split(" ")[0]);
    expect(calls).toEqual(expect.arrayContaining(["Check", "CreateSandbox", "CreateContainer", "StartContainer"]));
    const pull = traced.rows.find(({ step }) => step === "pull");
    expect(pull?.detail).toBe(image);
    const inside = ["manifest", "config", "layer", "mount"].map((step) =>
      traced.rows.find(
        (row) => row.subject === "confidential-data-hub" && row.step === step && row.begin >= (pull?.begin ?? NaN),
      ),
    );
    for (const part of inside) {
      expect((part?.begin ?? NaN) + (part?.lasted ?? NaN)).toBeLessThanOrEqual(
        (pull?.begin ?? NaN) + (pull?.lasted ?? NaN),
      );
    }
    expect(inside[2]?.detail).toMatch(/^1\/1 of \d+ bytes$/u);
    expect(order.indexOf("kata-agent.output")).toBeGreaterThan(order.indexOf("confidential-data-hub.mount"));
    // The container is gone, the guest is not.
    expect(await nacre.json(["ps", "--json"])).toEqual([]);
    const kept = await nacre.run(
      ["trace", "--log", "-", "--json"],
      readFileSync(join(state, "guests", id, "guest.log"), "utf8"),
    );
    expect(names(JSON.parse(kept.stdout) as Trace)).toEqual(expect.arrayContaining(BOOT));
  });

  it("a guest that nobody wants to trace logs no events, and says so", async () => {
    const { id } = await nacre.json<{ id: string }>(["guest", "start", "--json"]);
    expect((await nacre.run(["guest", "logs", id])).stdout).not.toContain("event ");
    const log = readFileSync(join(state, "guests", id, "guest.log"), "utf8");
    const refused = await nacre.run(["trace", "--log", "-"], log);
    expect(refused).toMatchObject({ status: 1, stderr: "nacre: trace: expected events in the log, got none\n" });
    const late = await nacre.run(["trace", "--guest", id]);
    expect(late).toMatchObject({ status: 1, stderr: expect.stringMatching(/must be started with --trace\n$/u) });
  });
});
