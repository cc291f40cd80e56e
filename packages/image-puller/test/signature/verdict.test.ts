import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { createMessage, generateKey, type PrivateKey, readPrivateKey, revokeKey, sign as signMessage } from "openpgp";
import { OciError, parseReference } from "oci-client";
import { describe, expect, it } from "vitest";

import { vectors } from "../../../../test/setup/data.ts";
import { describeError } from "../../src/error.ts";
import { GpgKeys } from "../../src/signature/gpg-keys.ts";
import { parseSignaturePolicy } from "../../src/signature/policy.ts";
import type { SignatureSource, SigstoreSignature } from "../../src/signature/signature-source.ts";
import { judge, type SignatureVerdict } from "../../src/signature/verdict.ts";

const MANIFEST = `sha256:${"1".repeat(64)}`;
const INDEX = `sha256:${"2".repeat(64)}`;
const COSIGN = "cosign container image signature";
const ATOMIC = "atomic container signature";

function payload(digest: string, reference: string, type: string, extra: object = {}): Buffer {
  const critical = { identity: { "docker-reference": reference }, image: { "docker-manifest-digest": digest }, type };
  return Buffer.from(JSON.stringify({ critical: { ...critical, ...extra }, optional: null }));
}

const p256 = (): { privateKey: KeyObject; publicKey: KeyObject } => generateKeyPairSync("ec", { namedCurve: "P-256" });
const pem = (key: KeyObject): string => key.export({ type: "spki", format: "pem" }) as string;

interface Asked {
  readonly image?: string;
  readonly index?: string;
  readonly manifest?: string;
  readonly files?: Readonly<Record<string, Uint8Array>>;
}

async function judged(
  requirement: object | readonly object[],
  signatures: Readonly<Record<string, readonly (SigstoreSignature | Uint8Array)[]>>,
  { image = "r.test/app:v1", index, manifest = MANIFEST, files = {} }: Asked = {},
): Promise<SignatureVerdict> {
  const list = Array.isArray(requirement) ? requirement : [requirement];
  const policy = parseSignaturePolicy(
    Buffer.from(JSON.stringify({ default: [{ type: "reject" }], transports: { docker: { "r.test": list } } })),
  );
  const source: SignatureSource = {
    sigstore: (digest) => Promise.resolve((signatures[digest] ?? []) as readonly SigstoreSignature[]),
    simple: (digest) => Promise.resolve((signatures[digest] ?? []) as readonly Uint8Array[]),
  };
  const read = (path: string): Promise<Uint8Array> => {
    const file = files[path];
    return file === undefined ? Promise.reject(new Error(`${path} is not there`)) : Promise.resolve(file);
  };
  return await judge(policy, { asked: parseReference(image), indexDigest: index, manifestDigest: manifest }, source, {
    read,
    openKeys: (rings) => GpgKeys.parse(rings),
  });
}

const refusal = async (work: Promise<unknown>): Promise<string> =>
  await work.then(
    () => "accepted",
    (error: unknown) => describeError(error),
  );

describe("sigstoreSigned", () => {
  const { privateKey, publicKey } = p256();
  const requirement = { type: "sigstoreSigned", keyData: pem(publicKey), signedIdentity: { type: "matchRepository" } };
  const signed = (bytes: Buffer, key: KeyObject = privateKey, hash: string | null = "sha256"): SigstoreSignature => ({
    payload: bytes,
    signature: sign(hash, bytes, key),
  });
  const good = signed(payload(MANIFEST, "r.test/app", COSIGN));

  it("takes a signature over the platform's manifest or over the index, and says which", async () => {
    expect(await judged(requirement, { [MANIFEST]: [good] })).toEqual({
      scope: 'docker "r.test"',
      accepted: [`sigstoreSigned ${MANIFEST} as r.test/app`],
    });
    const overIndex = signed(payload(INDEX, "r.test/app", COSIGN));
    expect((await judged(requirement, { [INDEX]: [overIndex] }, { index: INDEX })).accepted).toEqual([
      `sigstoreSigned ${INDEX} as r.test/app`,
    ]);
    expect((await judged(requirement, { [MANIFEST]: [good] }, { index: INDEX })).accepted).toHaveLength(1);
  });

  it("takes one good signature among others", async () => {
    const foreign = signed(payload(MANIFEST, "r.test/app", COSIGN), p256().privateKey);
    expect((await judged(requirement, { [MANIFEST]: [foreign, good] })).accepted).toHaveLength(1);
  });

  it.each([
    ["RSA", () => generateKeyPairSync("rsa", { modulusLength: 2048 }), "sha256"],
    ["P-384", () => generateKeyPairSync("ec", { namedCurve: "P-384" }), "sha384"],
    ["Ed25519", () => generateKeyPairSync("ed25519"), null],
  ] as const)("takes a key %s from a file", async (_, make, hash) => {
    const pair = make();
    const one = signed(payload(MANIFEST, "r.test/app", COSIGN), pair.privateKey, hash);
    const byPath = { ...requirement, keyData: undefined, keyPaths: ["/other.pub", "/k.pub"] };
    const files = { "/k.pub": Buffer.from(pem(pair.publicKey)), "/other.pub": Buffer.from(pem(p256().publicKey)) };
    expect((await judged(byPath, { [MANIFEST]: [one] }, { files })).accepted).toHaveLength(1);
    expect(await refusal(judged(byPath, { [MANIFEST]: [good] }, { files }))).toContain(
      "not signed by a key of the policy",
    );
  });

  it.each([
    ["no signature", [], "no signature was found for"],
    ["another key", [signed(payload(MANIFEST, "r.test/app", COSIGN), p256().privateKey)], "not signed by a key"],
    ["a changed payload", [{ ...good, payload: Buffer.concat([good.payload, Buffer.from(" ")]) }], "not signed"],
    ["another image's digest", [signed(payload(INDEX, "r.test/app", COSIGN))], `it is over ${INDEX}`],
    ["another name", [signed(payload(MANIFEST, "r.test/other", COSIGN))], 'signed as "r.test/other"'],
    ["another kind of payload", [signed(payload(MANIFEST, "r.test/app", ATOMIC))], "critical.type: expected"],
    ["a critical member that is not known", [signed(payload(MANIFEST, "r.test/app", COSIGN, { until: 1 }))], '"until"'],
    ["no payload", [signed(Buffer.from("{}"))], "critical: expected an object"],
    ["bytes that are no signature", [{ ...good, signature: Buffer.from("zz") }], "not signed by a key"],
  ])("refuses %s", async (_, list, why) => {
    const text = await refusal(judged(requirement, { [MANIFEST]: list }));
    expect(text).toContain("Image policy rejected: Denied by policy: r.test/app:v1");
    expect(text).toContain(why);
  });

  it("takes the name exactly where the policy says nothing else", async () => {
    const plain = { type: "sigstoreSigned", keyData: pem(publicKey) };
    expect(await refusal(judged(plain, { [MANIFEST]: [good] }))).toContain("matchRepoDigestOrExact does not take");
    const tagged = signed(payload(MANIFEST, "r.test/app:v1", COSIGN));
    expect((await judged(plain, { [MANIFEST]: [tagged] })).accepted).toHaveLength(1);
    const pinned = { image: `r.test/app@${MANIFEST}` };
    expect((await judged(plain, { [MANIFEST]: [good] }, pinned)).accepted).toHaveLength(1);
  });

  it("needs every requirement of the list", async () => {
    const other = { ...requirement, keyData: pem(p256().publicKey) };
    expect(await refusal(judged([requirement, other], { [MANIFEST]: [good] }))).toContain("Denied by policy");
    expect(await refusal(judged([requirement, { type: "reject" }], { [MANIFEST]: [good] }))).toContain("rejects every");
    expect(
      (await judged([requirement, { type: "insecureAcceptAnything" }], { [MANIFEST]: [good] })).accepted,
    ).toHaveLength(2);
  });

  it("rejects what no scope names, and a key that is not one", async () => {
    expect(await refusal(judged(requirement, {}, { image: "elsewhere.test/a" }))).toContain(
      "the policy rejects every image",
    );
    const broken = { ...requirement, keyData: "AAAA" };
    expect(await refusal(judged(broken, { [MANIFEST]: [good] }))).toContain("expected a public key in PEM");
    const weak = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey;
    expect(await refusal(judged({ ...requirement, keyData: pem(weak) }, {}))).toContain(
      "RSA of 2048 bits, got rsa 1024",
    );
  });

  it("tells a fault of the network from a refusal", async () => {
    const policy = parseSignaturePolicy(Buffer.from(JSON.stringify({ default: [requirement] })));
    const source: SignatureSource = {
      sigstore: () => Promise.reject(new OciError("network", "gone")),
      simple: () => Promise.resolve([]),
    };
    const image = { asked: parseReference("r.test/app:v1"), manifestDigest: MANIFEST };
    const ports = {
      read: () => Promise.reject(new Error()),
      openKeys: (rings: readonly Uint8Array[]) => GpgKeys.parse(rings),
    };
    await expect(judge(policy, image, source, ports)).rejects.toMatchObject({ code: "network" });
  });
});

describe("signedBy", () => {
  const requirement = { type: "signedBy", keyType: "GPGKeys", keyPath: "/ring.gpg" };
  const newKey = async (options: object = {}): Promise<PrivateKey> => {
    const { privateKey } = await generateKey({
      userIDs: [{ name: "signer" }],
      subkeys: [],
      format: "armored",
      ...options,
    });
    return await readPrivateKey({ armoredKey: privateKey });
  };
  const signed = async (key: PrivateKey, bytes: Uint8Array, date?: Date): Promise<Uint8Array> =>
    await signMessage({
      message: await createMessage({ binary: bytes }),
      signingKeys: key,
      format: "binary",
      ...(date === undefined ? {} : { date }),
    });
  const ring = (key: PrivateKey) => ({ files: { "/ring.gpg": key.toPublic().write() } });
  const claim = payload(MANIFEST, "r.test/app:v1", ATOMIC);

  it("takes a primary key's signature and a signing subkey's, from a binary and an armoured keyring", async () => {
    const key = await newKey();
    expect((await judged(requirement, { [MANIFEST]: [await signed(key, claim)] }, ring(key))).accepted).toHaveLength(1);
    const withSubkey = await newKey({ subkeys: [{ sign: true }] });
    const armoured = { files: { "/ring.gpg": Buffer.from(withSubkey.toPublic().armor()) } };
    expect(
      (await judged(requirement, { [MANIFEST]: [await signed(withSubkey, claim)] }, armoured)).accepted,
    ).toHaveLength(1);
  });

  it("refuses a foreign key, a revoked one, an expired one, and a payload that is not signed", async () => {
    const key = await newKey();
    const one = await signed(key, claim);
    const text = async (other: PrivateKey | { files: Record<string, Uint8Array> }, list: Uint8Array[] = [one]) =>
      await refusal(judged(requirement, { [MANIFEST]: list }, "files" in other ? other : ring(other)));
    expect(await text(await newKey())).toContain("it is not by a valid key of the policy");

    const { publicKey: revoked } = await revokeKey({ key, format: "object" });
    expect(await text({ files: { "/ring.gpg": revoked.write() } })).toContain("not by a valid key");

    const made = new Date(Date.now() - 7 * 86_400_000);
    const shortLived = await newKey({ date: made, keyExpirationTime: 86_400 });
    const inTime = await signed(shortLived, claim, new Date(made.getTime() + 3_600_000));
    expect(await text(shortLived, [inTime])).toContain("not by a valid key");

    const unsigned = (await createMessage({ binary: claim })).write() as Uint8Array;
    expect(await text(key, [unsigned])).toContain("it is not signed");
    expect(await text(key, [Buffer.from("no packet")])).toContain("not by a valid key");
    expect(await text({ files: { "/ring.gpg": Buffer.from("no key") } })).toContain("GPG keyring: it does not parse");
  });

  it("refuses another image and another name under a good signature", async () => {
    const key = await newKey();
    const over = async (bytes: Uint8Array) =>
      await refusal(judged(requirement, { [MANIFEST]: [await signed(key, bytes)] }, ring(key)));
    expect(await over(payload(INDEX, "r.test/app:v1", ATOMIC))).toContain("it is over");
    expect(await over(payload(MANIFEST, "r.test/app:v2", ATOMIC))).toContain("does not take for r.test/app:v1");
    expect(await over(payload(MANIFEST, "r.test/app:v1", COSIGN))).toContain("critical.type");
  });
});

const recorded = vectors("signature");
if (recorded === undefined) {
  it("has no recorded signatures: those of our own above cover the same code", () => {
    expect(COSIGN).not.toBe(ATOMIC);
  });
} else {
  const file = (name: string): Buffer => readFileSync(join(recorded, name));
  const digestOf = (name: string): string => `sha256:${createHash("sha256").update(file(name)).digest("hex")}`;
  describe("recorded signatures of containers/image", () => {
    const cosign = (name: string): SigstoreSignature => {
      const text = file(name).subarray(1).toString();
      const { payload: bytes, annotations } = JSON.parse(text.slice(text.indexOf("\n"))) as {
        payload: string;
        annotations: Record<string, string>;
      };
      return {
        payload: Buffer.from(bytes, "base64"),
        signature: Buffer.from(annotations["dev.cosignproject.cosign/signature"] ?? "", "base64"),
      };
    };
    const judgedDir = async (dir: string, names: readonly string[], image: string, identity: string) => {
      const digest = digestOf(`${dir}/manifest.json`);
      const requirement = { type: "sigstoreSigned", keyPath: "/k", signedIdentity: { type: identity } };
      const list = names.map((name) => cosign(`${dir}/${name}`));
      const policy = parseSignaturePolicy(Buffer.from(JSON.stringify({ default: [requirement] })));
      const source: SignatureSource = {
        sigstore: (asked) => Promise.resolve(asked === digest ? list : []),
        simple: () => Promise.resolve([]),
      };
      const found = { asked: parseReference(image), manifestDigest: digest };
      return await refusal(
        judge(policy, found, source, {
          read: () => Promise.resolve(file("cosign.pub")),
          openKeys: (rings) => GpgKeys.parse(rings),
        }),
      );
    };

    it.each([
      [
        "dir-img-cosign-valid",
        ["signature-1"],
        "192.168.64.2:5000/cosign-signed-single-sample",
        "matchRepository",
        "accepted",
      ],
      [
        "dir-img-cosign-valid",
        ["signature-1"],
        "192.168.64.2:5000/cosign-signed-single-sample",
        "matchExact",
        "does not take",
      ],
      [
        "dir-img-cosign-valid-with-tag",
        ["signature-1"],
        "192.168.64.2:5000/skopeo-signed:tag",
        "matchExact",
        "accepted",
      ],
      [
        "dir-img-cosign-valid-with-tag",
        ["signature-1"],
        "192.168.64.2:5000/skopeo-signed:other",
        "matchExact",
        "does not take",
      ],
      [
        "dir-img-cosign-mixed",
        ["signature-1", "signature-2"],
        "192.168.64.2:5000/cosign-signed-single-sample",
        "matchRepository",
        "accepted",
      ],
      [
        "dir-img-cosign-modified-manifest",
        ["signature-1"],
        "192.168.64.2:5000/cosign-signed-single-sample",
        "matchRepository",
        "it is over",
      ],
    ] as const)("%s %j as %s, %s: %s", async (dir, names, image, identity, expected) => {
      expect(await judgedDir(dir, names, image, identity)).toContain(expected);
    });

    const open = async (name: string, ring: string): Promise<string> =>
      await refusal((await GpgKeys.parse([file(ring)])).open(file(name)));

    it.each([
      ["image.signature", "public-key.gpg", "accepted"],
      ["dir-img-valid/signature-1", "public-key.gpg", "accepted"],
      ["subkey.signature", "public-key-with-subkey.gpg", "accepted"],
      ["expired.signature", "public-key.gpg", "not by a valid key"],
      ["unknown-key.signature", "public-key.gpg", "not by a valid key"],
      ["invalid-blob.signature", "public-key.gpg", "accepted"],
      ["unsigned-encrypted.signature", "public-key.gpg", "GPG signature: "],
    ])("%s with %s: %s", async (name, ring, expected) => {
      expect(await open(name, ring)).toContain(expected);
    });
  });
}
