import { createMessage, generateKey, readPrivateKey, sign } from "openpgp";
import { expect, it } from "vitest";

import { seeded } from "../../../../test/fixtures/seeded.ts";
import { PullError } from "../../src/error.ts";
import { GpgKeys } from "../../src/signature/gpg-keys.ts";
import { parseDocument } from "../../src/signature/members.ts";
import { parseLookaside } from "../../src/signature/lookaside.ts";
import { parsePayload } from "../../src/signature/payload.ts";
import { parseSignaturePolicy } from "../../src/signature/policy.ts";

const KEY = { type: "signedBy", keyType: "GPGKeys", keyData: "AAAA", signedIdentity: { type: "matchExact" } };
const POLICY = JSON.stringify({
  default: [{ type: "reject" }],
  transports: { docker: { "a.b/c": [KEY], "*.b": [KEY] } },
});
const COSIGN = "cosign container image signature";
const PAYLOAD = JSON.stringify({
  critical: {
    identity: { "docker-reference": "r.test/a:1" },
    image: { "docker-manifest-digest": `sha256:${"0".repeat(64)}` },
    type: COSIGN,
  },
  optional: null,
});
const LOOKASIDE = "default-docker:\n  sigstore: file:///a\ndocker:\n  b.test/c:\n    lookaside: https://d.test/e\n";

/** Bytes with some of them changed, cut out or doubled. */
function* spoilt(bytes: Uint8Array, seed: number, count: number): Generator<Buffer, void, undefined> {
  const below = seeded(seed);
  for (let round = 0; round < count; round += 1) {
    let copy = Buffer.from(bytes);
    for (let times = 1 + below(3); times > 0; times -= 1) {
      const at = below(copy.length);
      const kind = below(3);
      if (kind === 0) copy[at] = below(256);
      else if (kind === 1) copy = Buffer.concat([copy.subarray(0, at), copy.subarray(at + 1 + below(8))]);
      else copy = Buffer.concat([copy.subarray(0, at), copy.subarray(Math.max(0, at - below(16)))]);
    }
    yield copy;
  }
}

it.each<[string, string, number, (bytes: Buffer) => unknown]>([
  ["policies", POLICY, 1, (bytes) => parseSignaturePolicy(bytes)],
  ["payloads", PAYLOAD, 2, (bytes) => parsePayload(bytes, COSIGN)],
  ["places of signatures", LOOKASIDE, 3, (bytes) => parseLookaside(bytes)],
])("spoilt %s are read or refused, by an error of ours", (_, text, seed, read) => {
  let refused = 0;
  for (const bytes of spoilt(Buffer.from(text), seed, 3000)) {
    try {
      read(bytes);
    } catch (error) {
      expect(error).toBeInstanceOf(PullError);
      refused += 1;
    }
  }
  expect(refused).toBeGreaterThan(500);
});

it("spoilt JSON is read as JSON.parse reads it, or refused", () => {
  let read = 0;
  for (const bytes of spoilt(Buffer.from(POLICY), 4, 5000)) {
    let ours;
    try {
      ours = parseDocument("document", bytes);
    } catch {
      continue;
    }
    read += 1;
    expect(ours).toEqual(JSON.parse(bytes.toString()));
  }
  expect(read).toBeGreaterThan(500);
});

it("a spoilt GPG signature opens nothing but what was signed", async () => {
  const { privateKey } = await generateKey({ userIDs: [{ name: "x" }], subkeys: [], format: "armored" });
  const key = await readPrivateKey({ armoredKey: privateKey });
  const message = await createMessage({ binary: Buffer.from(PAYLOAD) });
  const signed = await sign({ message, signingKeys: key, format: "binary" });
  const keys = await GpgKeys.parse([key.toPublic().write()]);
  for (const bytes of spoilt(signed, 5, 400)) {
    const opened = await keys.open(bytes).catch((error: unknown) => error);
    if (opened instanceof Uint8Array) expect(Buffer.from(opened).toString()).toBe(PAYLOAD);
    else expect(opened).toMatchObject({ code: "signature" });
  }
});
