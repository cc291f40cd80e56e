import { describe, expect, it } from "vitest";

import { NodeKbsHttp } from "../src/index.ts";
import { kbsHttpOnDemand } from "../src/on-demand.ts";

describe("kbsHttpOnDemand", () => {
  it("makes one client for all, and not before it is asked for", async () => {
    let looks = 0;
    const http = kbsHttpOnDemand({
      env: {
        get NO_PROXY(): undefined {
          looks += 1;
          return undefined;
        },
      },
    });
    expect(looks).toBe(0);
    const [one, other] = await Promise.all([http(), http()]);
    expect(one).toBeInstanceOf(NodeKbsHttp);
    expect(other).toBe(one);
    expect(await http()).toBe(one);
    expect(looks).toBe(1);
  });

  it("tells all who wait of a failure, and forgets it", async () => {
    let looks = 0;
    const http = kbsHttpOnDemand({
      env: {
        get NO_PROXY(): undefined {
          looks += 1;
          if (looks === 1) throw new Error("no memory for a client");
          return undefined;
        },
      },
    });
    const first = await Promise.allSettled([http(), http()]);
    expect(first.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(await http()).toBeInstanceOf(NodeKbsHttp);
    expect(looks).toBe(2);
  });

  it("refuses a pin without roots each time", async () => {
    const http = kbsHttpOnDemand({ env: {}, pin: true });
    for (let asked = 0; asked < 2; asked += 1) await expect(http()).rejects.toThrow("expected a certificate to pin");
  });
});
