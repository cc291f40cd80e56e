import { describe, expect, it } from "vitest";

import { defaultConfig } from "../../src/config.ts";
import { launchPlan } from "../../src/launch/plan.ts";

const all = (): boolean => true;

describe("launchPlan", () => {
  it.each([
    ["none", []],
    ["attestation-agent", []],
    ["confidential-data-hub", ["confidential-data-hub"]],
    ["api-server-rest", ["confidential-data-hub"]],
  ] as const)("level %s starts %j", (guestComponentsProcs, ids) => {
    const plan = launchPlan({ ...defaultConfig(), guestComponentsProcs }, all);
    expect(plan.start.map(({ id }) => id)).toEqual(ids);
    expect(plan.missing).toEqual([]);
  });

  it("starts nothing when a needed binary is missing, and names it", () => {
    expect(launchPlan(defaultConfig(), () => false)).toEqual({
      start: [],
      missing: ["/usr/local/bin/confidential-data-hub"],
    });
  });

  it("hands nothing of the agent's own environment on", () => {
    expect(launchPlan(defaultConfig(), all).start.map(({ env }) => Object.keys(env))).toEqual([["PATH"]]);
  });
});
