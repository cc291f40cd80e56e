import { describe, expect, it } from "vitest";

import { parseLogLine } from "../../src/trace/log-line.ts";
import { readEvents } from "../../src/trace/timeline.ts";
import { Random } from "../random.ts";

const agentLine = (msg: string, over: object = {}): string =>
  JSON.stringify({ msg, level: "INFO", ts: "2026-11-25T01:18:43.668Z", name: "kata-agent", source: "agent", ...over });
const EVENT = "event 12.000001+0.500000";
const read = (begin: number, lasted: number, name: string, detail = ""): object => ({
  event: { begin, lasted, name, detail },
  stamp: undefined,
});

describe("a line of a guest's log", () => {
  it.each([
    ["init's", `NVRC ${EVENT} nvrc.mounts`, read(12_000_001, 500_000, "nvrc.mounts")],
    ["the agent's", agentLine(`${EVENT} kata-agent.call Check`), read(12_000_001, 500_000, "kata-agent.call", "Check")],
    [
      "another daemon's",
      "[2026-11-25T01:25:16.974Z INFO confidential-data-hub] event 1.000000 confidential-data-hub.listening",
      read(1_000_000, 0, "confidential-data-hub.listening"),
    ],
    ["the host's", `nacre ${EVENT} supervisor.network`, read(12_000_001, 500_000, "supervisor.network")],
    ["one with a console's line end", "NVRC event 1.000000 nvrc.a\r", read(1_000_000, 0, "nvrc.a")],
  ])("%s", (_, line, expected) => expect(parseLogLine(line)).toEqual(expected));

  it.each([
    ["[    1.250000] NVRC event 1.200000+0.040000 nvrc.node", 1_250_000, "nvrc.node"],
    ["[   12.250000][    T1] NVRC event 1.200000 nvrc.node", 12_250_000, "nvrc.node"],
    ["[    0.912345] Run /init as init process", 912_345, "kernel.start"],
  ])("of a console has the kernel's stamp: %s", (line, stamp, name) => {
    expect(parseLogLine(line)).toMatchObject({ stamp, event: { name } });
  });

  it.each([
    ["an event that is quoted", agentLine(`image x ${EVENT} kata-agent.call Check`)],
    ["an event in another member", agentLine("x", { image: `${EVENT} kata-agent.call` })],
    ["an event about another", `NVRC ${EVENT} kata-agent.listening`],
    ["an event about another, in JSON", agentLine(`${EVENT} nvrc.node`)],
    ["an event of another in brackets", `[2026-11-25T01:25:16.974Z INFO confidential-data-hub] ${EVENT} nvrc.node`],
    ["a bare event", `${EVENT} nvrc.node`],
    [
      "a daemon's line that quotes",
      `[2026-11-25T01:25:16.974Z ERROR confidential-data-hub] ${EVENT} confidential-data-hub.pull`,
    ],
    ["broken JSON", agentLine(`${EVENT} kata-agent.x`).slice(0, -1)],
    ["JSON that is no object's", '{"msg":"event '],
    ["a kernel's line without a stamp", "Run /init as init process"],
    ["a very long line", `NVRC ${EVENT} nvrc.node ${" ".repeat(5000)}`],
    ["nothing", ""],
  ])("%s is none", (_, line) => expect(parseLogLine(line)).toBeUndefined());
});

describe("a hostile log (seeded)", () => {
  const PARTS = [
    "NVRC ",
    "nacre ",
    EVENT,
    `NVRC ${EVENT} nvrc.node`,
    `${agentLine(`${EVENT} kata-agent.call x`)}\n`,
    " nvrc.node",
    " kata-agent.call",
    "[    1.250000] ",
    "[2026-11-25T01:25:16.974Z INFO confidential-data-hub] ",
    '{"msg":"event ',
    '","name":"kata-agent"}',
    "\n",
    "\r",
    "\u001b[2J",
    "\ud800",
    "é",
    "[",
    '"',
  ];

  it("gives events, and nothing else, for any text", () => {
    const random = new Random(3);
    let found = 0;
    for (let i = 0; i < 20_000; i++) {
      const log = Array.from({ length: random.below(12) }, () => random.pick(PARTS)).join("");
      for (const { name, detail, begin, lasted } of readEvents(log).events) {
        found++;
        expect(name).toMatch(/^[a-z][a-z0-9-]*\.[a-z0-9-]+$/u);
        expect(detail).toMatch(/^[ -~]*$/u);
        expect(Number.isSafeInteger(begin) && Number.isSafeInteger(lasted)).toBe(true);
      }
    }
    expect(found).toBeGreaterThan(100);
  });

  it("is bounded in its events", () => {
    const { events, dropped } = readEvents("NVRC event 1.000000 nvrc.a\n".repeat(10_005));
    expect([events.length, dropped]).toEqual([10_000, 5]);
  });
});
