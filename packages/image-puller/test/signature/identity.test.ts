import { parseReference } from "oci-client";
import { describe, expect, it } from "vitest";

import { identityHolds, type SignedIdentity } from "../../src/signature/identity.ts";

const DIGEST = `sha256:${"a".repeat(64)}`;
const holds = (identity: SignedIdentity, asked: string, signed: string): boolean =>
  identityHolds(identity, parseReference(asked), signed);

describe("the name in a signature", () => {
  it.each([
    ["matchExact", "r.test/a:v1", "r.test/a:v1", true],
    ["matchExact", "r.test/a:v1", "r.test/a:v2", false],
    ["matchExact", "r.test/a:v1", "r.test/a", false],
    ["matchExact", "r.test/a", "r.test/a:latest", true],
    ["matchExact", "busybox", "docker.io/library/busybox:latest", true],
    ["matchExact", `r.test/a@${DIGEST}`, `r.test/a@${DIGEST}`, false],
    ["matchExact", `r.test/a:v1@${DIGEST}`, "r.test/a:v1", false],
    ["matchRepoDigestOrExact", "r.test/a:v1", "r.test/a:v1", true],
    ["matchRepoDigestOrExact", "r.test/a:v1", "r.test/a:v2", false],
    ["matchRepoDigestOrExact", `r.test/a@${DIGEST}`, "r.test/a:v2", true],
    ["matchRepoDigestOrExact", `r.test/a@${DIGEST}`, "r.test/b:v2", false],
    ["matchRepository", "r.test/a:v1", "r.test/a:v2", true],
    ["matchRepository", "r.test/a:v1", "r.test/a", true],
    ["matchRepository", "r.test/a:v1", "r.test/ab", false],
    ["matchRepository", "r.test/a:v1", "R.test/a", false],
    ["matchRepository", "r.test/a:v1", "not a name", false],
    ["matchRepository", "r.test/a:v1", "", false],
  ] as const)("%s: %s signed as %s: %s", (type, asked, signed, expected) => {
    expect(holds({ type }, asked, signed)).toBe(expected);
  });

  it("is the one that the policy names", () => {
    const reference: SignedIdentity = { type: "exactReference", reference: "r.test/a:v1" };
    expect(holds(reference, "mirror.test/b:v9", "r.test/a:v1")).toBe(true);
    expect(holds(reference, "mirror.test/b:v9", "r.test/a:v2")).toBe(false);
    const repository: SignedIdentity = { type: "exactRepository", repository: "r.test/a" };
    expect(holds(repository, "mirror.test/b:v9", "r.test/a:v7")).toBe(true);
    expect(holds(repository, "mirror.test/b:v9", "mirror.test/b:v9")).toBe(false);
  });

  it("is remapped at a part's end, and not inside of one", () => {
    const identity: SignedIdentity = {
      type: "remapIdentity",
      prefix: "mirror.test:5000/vendor",
      signedPrefix: "vendor.test",
    };
    expect(holds(identity, "mirror.test:5000/vendor/app:v1", "vendor.test/app:v1")).toBe(true);
    expect(holds(identity, "mirror.test:5000/vendor/app:v1", "mirror.test:5000/vendor/app:v1")).toBe(false);
    expect(holds(identity, "mirror.test:5000/vendors/app:v1", "vendor.tests/app:v1")).toBe(false);
    expect(holds(identity, "mirror.test:5000/vendors/app:v1", "mirror.test:5000/vendors/app:v1")).toBe(true);
    expect(holds(identity, `mirror.test:5000/vendor/app@${DIGEST}`, "vendor.test/app:v3")).toBe(true);
  });
});
