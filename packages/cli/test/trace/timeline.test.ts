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

describe("a virtual machine's log", () => {
  // The host's clock has nothing to do with the guest's.
  const VM_LOG = `nacre event 7000.000000+0.100000 supervisor.node
nacre event 7000.100000+5.000000 supervisor.guest
[    0.000000] Linux version 6.1\r
[    1.200000] Run /init as init process\r
[    2.000000] NVRC event 1.500000+0.300000 nvrc.node\r
{"msg":"event 3.500000 kata-agent.listening","level":"INFO","name":"kata-agent"}\r
{"msg":"event 3.990000+0.010000 kata-agent.call Check","level":"INFO","name":"kata-agent"}\r
nacre event 7005.100000+0.500000 supervisor.network
`;

  it("has the host's events where their answers arrived, and what lies between as firmware and initramfs", () => {
    const { rows, milestones } = timelineOf(VM_LOG);
    expect(rows.map(({ subject, step, begin, lasted }) => [`${subject}.${step}`, begin, lasted])).toEqual([
      ["supervisor.node", 0, 100],
      ["supervisor.guest", 100, 5000],
      ["qemu.firmware", 100, 1000],
      ["kernel.start", 1100, 1200],
      ["initramfs.root", 2300, 300],
      ["nvrc.node", 2600, 300],
      ["kata-agent.listening", 4600, 0],
      ["kata-agent.call", 5090, 10],
      ["supervisor.network", 5100, 500],
    ]);
    expect(milestones).toEqual({
      agentListening: 2000,
      agentAnswering: 2500,
      powerOnToAnswering: 5000,
      handOverToAnswering: 2800,
    });
  });

  it("is of the last boot where an earlier one was given up, whose time is told apart", () => {
    const hung = `[    0.000000] Linux version 6.1\r
[    0.900000] Run /init as init process\r
[    1.900000] NVRC event 1.100000+0.200000 nvrc.node\r
[    2.100000] NVRC event 2.000000+0.050000 nvrc.mounts\r
{"msg":"event 3.000000+0.500000 kata-agent.call Check","level":"INFO","name":"kata-agent"}\r
`;
    const begun = timelineOf(VM_LOG.replace("[    0.000000]", `${hung}[    0.000000]`));
    const whole = timelineOf(VM_LOG);
    expect(begun.rows).toEqual(whole.rows.map((row) => (row.step === "firmware" ? { ...row, step: "given-up" } : row)));
    // From the start of which machine nobody could say.
    const { powerOnToAnswering: _, ...milestones } = whole.milestones;
    expect(begun.milestones).toEqual(milestones);
  });

  it("is the guest's alone where nothing joins the two clocks", () => {
    const { rows } = timelineOf(VM_LOG.replace("kata-agent.call", "kata-agent.none"));
    expect(rows.filter(({ subject }) => subject === "supervisor" || subject === "qemu")).toEqual([]);
    expect(rows[0]).toMatchObject({ subject: "kernel", begin: 0 });
  });
});
