import { describe, expect, it } from "vitest";

import { checkServerAddress, takesPeer } from "../src/flavour.ts";

describe("takesPeer", () => {
  const [LOOPBACK, HOST, OTHER] = [1, 2, 3];

  it.each(["kata", "strict"] as const)("takes the host's connections alone in the %s flavour", (flavour) => {
    expect([LOOPBACK, HOST, OTHER].map((cid) => takesPeer(cid, flavour))).toEqual([false, true, false]);
  });

  it("takes a developer's own in the devkit flavour", () => {
    expect([LOOPBACK, HOST, OTHER].map((cid) => takesPeer(cid, "devkit"))).toEqual([true, true, true]);
  });
});

describe("checkServerAddress", () => {
  it.each(["kata", "strict"] as const)("has no TCP in the %s flavour", (flavour) => {
    checkServerAddress("vsock://-1:1024", flavour);
    checkServerAddress("unix:///run/agent.sock", flavour);
    expect(() => checkServerAddress("tcp://127.0.0.1:1024", flavour)).toThrow(
      `server address: the ${flavour} flavour listens on vsock, unix, got tcp`,
    );
  });

  it("has TCP in the devkit flavour", () => {
    expect(() => checkServerAddress("tcp://127.0.0.1:1024", "devkit")).not.toThrow();
  });
});
