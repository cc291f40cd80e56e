import { createPublicKey, generateKeyPairSync, randomBytes } from "node:crypto";

import { formatSealedSecret, signJws } from "@nacre/confidential-data-hub/secret";
import { formatPacket, wrap } from "@nacre/ocicrypt";
import { GetResourceService, KeyProviderService, SealedSecretService } from "@nacre/protocols";
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { DataHubStack } from "../fixtures/data-hub.ts";
import { findInMemory } from "../fixtures/process-memory.ts";

const KID = "kbs:///default/signing/pub";
const signer = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;

/** Letters, so that a text of them can be looked for, too. */
const secretText = (): Buffer => Buffer.from(randomBytes(24).toString("hex"));
const SECRETS = {
  resource: secretText(),
  large: Buffer.from(randomBytes(20_000).toString("hex")),
  vault: secretText(),
  key: randomBytes(32),
  options: secretText(),
};
/** As they would lie in a buffer, or in a text of V8's. */
const NEEDLES: ReadonlyMap<string, Buffer> = new Map(
  Object.entries(SECRETS).flatMap(([name, bytes]) => {
    const part = bytes.subarray(0, 32);
    return [
      [name, part],
      [`${name} in base64`, Buffer.from(part.subarray(0, 30).toString("base64"))],
      [`${name} in UTF-16`, Buffer.from(part.toString("latin1"), "utf16le")],
    ] as const;
  }),
);

let stack: DataHubStack;
beforeAll(async () => {
  stack = await DataHubStack.start();
  await stack.put("default/signing/pub", JSON.stringify(createPublicKey(signer).export({ format: "jwk" })));
  for (const name of ["resource", "large", "vault", "key"] as const) await stack.put(`a/b/${name}`, SECRETS[name]);
});
afterAll(async () => await stack[Symbol.asyncDispose]());

const resource = async (name: string): Promise<Buffer> =>
  Buffer.from(
    (await stack.call(GetResourceService.methods.GetResource, { ResourcePath: `kbs:///a/b/${name}` })).Resource,
  );

async function unseal(): Promise<Buffer> {
  const payload = formatSealedSecret({
    type: "vault",
    name: "kbs:///a/b/vault",
    provider: "kbs",
    settings: {},
    annotations: {},
  });
  const secret = Buffer.from(signJws(Buffer.from(payload), KID, signer));
  return Buffer.from((await stack.call(SealedSecretService.methods.UnsealSecret, { secret })).plaintext);
}

async function unwrapped(): Promise<Buffer> {
  const iv = randomBytes(12);
  const data = wrap("A256GCM", SECRETS.key, iv, SECRETS.options);
  const packet = formatPacket({ provider: "kbs", kid: "kbs:///a/b/key", wrapped: { type: "A256GCM", iv, data } });
  const input = { keywrapparams: {}, keyunwrapparams: { annotation: Buffer.from(packet).toString("base64") } };
  const { KeyProviderKeyWrapProtocolOutput: output } = await stack.call(KeyProviderService.methods.UnWrapKey, {
    KeyProviderKeyWrapProtocolInput: Buffer.from(JSON.stringify(input)),
  });
  const { keyunwrapresults } = JSON.parse(Buffer.from(output).toString()) as {
    keyunwrapresults: { optsdata: number[] };
  };
  return Buffer.from(keyunwrapresults.optsdata);
}

describe("the hub's memory", () => {
  it("holds no secret that was handed out, and no key that was used", async () => {
    for (let round = 0; round < 20; round++) {
      expect(await resource("resource")).toEqual(SECRETS.resource);
      expect(await resource("large")).toEqual(SECRETS.large);
      expect(await unseal()).toEqual(SECRETS.vault);
      expect(await unwrapped()).toEqual(SECRETS.options);
    }
    // What the last replies were made of is zeroed before a later call is answered.
    await expect(resource("none")).rejects.toThrow("Get Resource failed");
    const numbers = Buffer.from([...SECRETS.options.subarray(0, 16)].join(","));
    const known = Buffer.from("kbs:///a/b/resource");
    const found = findInMemory(stack.hubPid, new Map([...NEEDLES, ["options as numbers", numbers], ["a name", known]]));
    // The scan sees what is there.
    expect(found.some((hit) => hit.startsWith("a name at "))).toBe(true);
    expect(found.filter((hit) => !hit.startsWith("a name at "))).toEqual([]);
  });

  it("nor its log, its arguments and its environment", () => {
    const said = [
      Buffer.from(stack.lines.join("\n")),
      readFileSync(`/proc/${stack.hubPid}/cmdline`),
      readFileSync(`/proc/${stack.hubPid}/environ`),
    ];
    for (const bytes of said) {
      expect(bytes.length).toBeGreaterThan(0);
      for (const [name, needle] of NEEDLES) expect([name, bytes.includes(needle)]).toEqual([name, false]);
    }
  });
});
