import { generateKeyPairSync } from "node:crypto";

import { describe, expect, it } from "vitest";

import { TokenVerifier } from "../../src/kbs/token-verifier.ts";

const { publicKey: ownKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
let now = Date.now();
const verifier = new TokenVerifier(
  { ownKey, certificates: [], jwks: [], insecureHeaderJwk: false, extraKeyPaths: [] },
  () => now,
);
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
/** Without a signature that holds: it is taken only where nobody looks at it. */
const token = (claims: object): string =>
  [part({ alg: "ES256" }), part({ exp: Math.floor(now / 1000) + 300, ...claims }), "AA"].join(".");

describe("a token that was made here", () => {
  it("needs no look at its signature, until it runs out", async () => {
    const made = token({ iss: "here" });
    verifier.issuedHere(made);
    expect((await verifier.verify(made)).claims).toMatchObject({ iss: "here" });
    await expect(verifier.verify(token({ iss: "elsewhere" }))).rejects.toMatchObject({ code: "token" });
    now += 400_000;
    await expect(verifier.verify(made)).rejects.toMatchObject({ code: "token" });
  });

  it("is not kept in memory where it is long", async () => {
    const made = token({ initdata: "x".repeat(100_000) });
    verifier.issuedHere(made);
    await expect(verifier.verify(made)).rejects.toMatchObject({ code: "token" });
  });
});
