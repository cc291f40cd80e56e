import { describe, expect, it } from "vitest";

import { timelineOf } from "../../src/trace/timeline.ts";
import { BOOT_LOG } from "./boot-log.ts";

describe("timelineOf", () => {
  it("puts the events of all daemons on one axis, by their begin", () => {
    const { rows, length, initStart } = timelineOf(BOOT_LOG);
    expect(rows.slice(0, 3)).toEqual([
      { subject: "supervisor", step: "node", detail: "", begin: 0, lasted: 50 },
      { subject: "nvrc", step: "node", detail: "", begin: 100, lasted: 20 },
      { subject: "nvrc", step: "load", detail: "", begin: 120, lasted: 10 },
    ]);
    expect(rows.map(({ begin }) => begin)).toEqual(rows.map(({ begin }) => begin).toSorted((a, b) => a - b));
    expect([length, initStart]).toEqual([1200, 100]);
  });

  it("knows what a boot is waited for, from the begin of init; a restart is no part of it", () => {
    expect(timelineOf(BOOT_LOG).milestones).toEqual({
      componentsReady: 180,
      agentListening: 190,
      agentAnswering: 201.1,
      firstOutput: 500,
    });
  });

  it("has no milestones where init's begin is not in the log, and nothing in a log without events", () => {
    expect(timelineOf(BOOT_LOG.replaceAll("nvrc.node", "nvrc.nod")).milestones).toEqual({});
    expect(timelineOf("NVRC kata-agent started\n")).toEqual({ rows: [], length: 0, milestones: {}, dropped: 0 });
  });

  it("does not depend on the order of the lines: each daemon writes when it can", () => {
    expect(timelineOf(BOOT_LOG.split("\n").toReversed().join("\n"))).toEqual(timelineOf(BOOT_LOG));
  });
});
