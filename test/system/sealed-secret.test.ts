import { spawnSync } from "node:child_process";
import { createPublicKey, generateKeyPairSync } from "node:crypto";

import {
  formatSealedSecret,
  parseSealedSecret,
  type SealedSecret,
  signJws,
  Unsealer,
  VerificationKeys,
} from "@nacre/confidential-data-hub/secret";
import { describe, expect, it } from "vitest";

const KID = "kbs:///default/signing/pub";
const SECRET: SealedSecret = {
  type: "vault",
  name: "kbs:///repo/type/tag",
  provider: "kbs",
  settings: {},
  annotations: {},
};
const signer = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const jwk = (format: "private" | "public"): unknown =>
  (format === "private" ? signer : createPublicKey(signer)).export({ format: "jwk" });

/** Debian's jwcrypto, another implementation of JOSE; the request goes by standard input. */
function python(program: string, request: unknown): string {
  const source = `import json, sys\nfrom jwcrypto import jwk, jws\nr = json.load(sys.stdin)\n${program}`;
  const run = spawnSync("/usr/bin/python3", ["-c", source], { input: JSON.stringify(request), encoding: "utf8" });
  if (run.status !== 0) throw new Error(run.stderr);
  return run.stdout.trim();
}

async function unseal(secret: string): Promise<string> {
  const get = (name: string): Promise<Buffer> =>
    Promise.resolve(Buffer.from(name === KID ? JSON.stringify(jwk("public")) : `of ${name}`));
  const unsealer = new Unsealer({
    keys: new VerificationKeys({ get }),
    skipVerification: false,
    openKms: () => Promise.resolve({ secret: (name) => get(name), decrypt: () => Promise.reject(new Error("no")) }),
  });
  return (await unsealer.unseal(Buffer.from(secret), new AbortController().signal)).toString();
}

describe("sealed secrets and jwcrypto", () => {
  it("agree on what ours signs", () => {
    const token = signJws(Buffer.from(formatSealedSecret(SECRET)), KID, signer).slice("sealed.".length);
    const program = `
t = jws.JWS()
t.deserialize(r["token"], jwk.JWK(**r["key"]))
print(json.dumps([t.jose_header, t.payload.decode()]))`;
    const [header, payload] = JSON.parse(python(program, { token, key: jwk("public") })) as [object, string];
    expect(header).toEqual({ alg: "ES256", kid: KID });
    expect(parseSealedSecret(Buffer.from(payload))).toEqual(SECRET);
  });

  it("agree on what it signs", async () => {
    const program = `
t = jws.JWS(r["payload"])
t.add_signature(jwk.JWK(**r["key"]), None, json.dumps({"alg": "ES256", "kid": r["kid"]}))
print(t.serialize(compact=True))`;
    const token = python(program, { payload: formatSealedSecret(SECRET), key: jwk("private"), kid: KID });
    expect(await unseal(`sealed.${token}`)).toBe("of kbs:///repo/type/tag");
    const at = token.lastIndexOf(".") + 5;
    const changed = `${token.slice(0, at)}${token[at] === "A" ? "B" : "A"}${token.slice(at + 1)}`;
    await expect(unseal(`sealed.${changed}`)).rejects.toThrow("a signature of the key that it names");
  });
});
