import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { beforeAll, describe, expect, it } from "vitest";

import { Appraiser } from "../../src/attestation/appraisal.ts";
import { compileRegorus, type RegorusModule } from "../../src/policy/rego.ts";

let module: RegorusModule;
beforeAll(async () => {
  module = await compileRegorus(readFileSync(fileURLToPath(import.meta.resolve("regorus-wasm/regorus.wasm"))));
});

/** Asks for a reference value of each name that the evidence brings. */
const POLICY = `package policy
import rego.v1
trust_claims := {"hardware": 2} if { every name in input.names { query_reference_value(name) == null } }`;

const names = (guest: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${guest}-${i}`);

describe("the names of reference values that a policy makes of evidence", () => {
  it("are bounded for each guest, not for all together", async () => {
    const appraiser = new Appraiser(module, { query: () => Promise.resolve(undefined) });
    for (const guest of ["a", "b", "c"]) {
      const { status, referenceValues } = await appraiser.appraise("p", POLICY, { names: names(guest, 600) });
      expect(status).toBe("affirming");
      expect(Object.keys(referenceValues)).toEqual(expect.arrayContaining(names(guest, 600)));
    }
    await expect(appraiser.appraise("p", POLICY, { names: names("d", 1025) })).rejects.toThrow(
      "p: expected at most 1024 reference values",
    );
    expect((await appraiser.appraise("p", POLICY, { names: names("e", 600) })).status).toBe("affirming");
  });

  it("are forgotten with the policy's text", async () => {
    const appraiser = new Appraiser(module, { query: () => Promise.resolve(undefined) });
    await appraiser.appraise("p", POLICY, { names: ["old"] });
    const { referenceValues } = await appraiser.appraise("p", `${POLICY}\n# another`, { names: ["new"] });
    expect(referenceValues).toEqual({ new: null });
  });
});
