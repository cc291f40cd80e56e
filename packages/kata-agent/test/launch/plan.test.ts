import { describe, expect, it } from "vitest";

import { defaultConfig } from "../../src/config.ts";
import type { GuestInitdata } from "../../src/initdata/guest-initdata.ts";
import { launchPlan } from "../../src/launch/plan.ts";

const exists = (): boolean => true;
const config = defaultConfig();

describe("launchPlan", () => {
  it.each([
    ["none", []],
    ["attestation-agent", ["attestation-agent"]],
    ["confidential-data-hub", ["attestation-agent", "confidential-data-hub"]],
    ["api-server-rest", ["attestation-agent", "confidential-data-hub", "api-server-rest"]],
  ] as const)("level %s starts %j", (guestComponentsProcs, ids) => {
    const plan = launchPlan({ config: { ...config, guestComponentsProcs }, exists });
    expect(plan.start.map(({ id }) => id)).toEqual(ids);
    expect(plan.missing).toEqual([]);
  });

  it("starts nothing when a needed binary is missing, and names it", () => {
    const missing = "/usr/local/bin/attestation-agent";
    expect(launchPlan({ config, exists: (path) => path !== missing })).toEqual({ start: [], missing: [missing] });
  });

  it("waits for no socket of the REST server, which offers what it is told to", () => {
    const rest = launchPlan({ config: { ...config, guestComponentsRestApi: "all" }, exists }).start.at(-1);
    expect(rest).toMatchObject({ path: "/usr/local/bin/api-server-rest", args: ["--features", "all"] });
    expect(rest).not.toHaveProperty("socket");
  });

  it("hands nothing of the agent's own environment on", () => {
    for (const { env } of launchPlan({ config, exists }).start) {
      expect(Object.keys(env)).toEqual(["PATH", "MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_"]);
    }
  });

  it("gives each component its part of initdata, and nothing where there is none", () => {
    const uri = "unix:///run/confidential-containers/attestation-agent/attestation-agent.sock";
    const args = (initdata?: Partial<GuestInitdata>): readonly (readonly string[])[] =>
      launchPlan({ config, exists, initdata: initdata as GuestInitdata | undefined })
        .start.slice(0, 2)
        .map((one) => one.args);
    expect(args()).toEqual([["--attestation_sock", uri], []]);
    expect(args({ document: "/i/initdata.toml" })).toEqual([
      ["--attestation_sock", uri, "--initdata-toml", "/i/initdata.toml"],
      [],
    ]);
    expect(args({ document: "/i/initdata.toml", attestationConfig: "/i/aa.toml", hubConfig: "/i/cdh.toml" })).toEqual([
      ["--attestation_sock", uri, "--initdata-toml", "/i/initdata.toml", "-c", "/i/aa.toml"],
      ["-c", "/i/cdh.toml"],
    ]);
  });
});
