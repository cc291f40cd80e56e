import { readFileSync } from "node:fs";
import { createPublicKey, verify } from "node:crypto";
import { fileURLToPath } from "node:url";

import type { Tee } from "@nacre/kbs-protocol";
import { beforeAll, describe, expect, it } from "vitest";

import { tierOf } from "../../src/attestation/appraisal.ts";
import { AttestationService } from "../../src/attestation/attestation-service.ts";
import { EarSigner } from "../../src/attestation/ear.ts";
import { viewInitdata } from "../../src/attestation/init-data.ts";
import { compileRegorus, type RegorusModule } from "../../src/policy/rego.ts";
import { ReferenceValues } from "../../src/rvps/reference-values.ts";
import { MemoryStorage } from "../../src/storage/memory.ts";
import { Namespace } from "../../src/storage/storage.ts";
import { sampleDeviceVerifier, sampleVerifier } from "../../src/verifier/sample.ts";
import { SnpVerifier } from "../../src/verifier/snp/snp-verifier.ts";
import { tpmVerifier } from "../../src/verifier/tpm/tpm-verifier.ts";
import type { Verifier } from "../../src/verifier/verifier.ts";
import { makeSnp } from "../verifier/snp-evidence.ts";
import { registers, tpmEvidence } from "../verifier/tpm-evidence.ts";

let module: RegorusModule;
beforeAll(async () => {
  module = await compileRegorus(readFileSync(fileURLToPath(import.meta.resolve("regorus-wasm/regorus.wasm"))));
});

const NOW = Date.parse("2026-11-25T00:00:00Z");
const sample = { svn: "1", report_data: "AAAA" };

interface Submodule extends Record<string, unknown> {
  readonly "ear.status": string;
  readonly "ear.trustworthiness-vector": Readonly<Record<string, number>>;
}

async function service(values: Record<string, unknown> = {}, verifiers: readonly (readonly [Tee, Verifier])[] = []) {
  const storage = new MemoryStorage();
  let now = NOW;
  const referenceValues = new ReferenceValues(storage, () => now);
  const message = (names: unknown): string =>
    JSON.stringify({
      version: "0.1.0",
      type: "sample",
      payload: Buffer.from(JSON.stringify(names)).toString("base64"),
    });
  await referenceValues.register(message(values));
  const signer = new EarSigner();
  const all = new Map<Tee, Verifier>([
    ["sample", sampleVerifier],
    ["sampledevice", sampleDeviceVerifier],
    ["tpm", tpmVerifier],
    ...verifiers,
  ]);
  const options = { storage, module, referenceValues, verifiers: all, signer, now: () => now };
  const made = await AttestationService.open(options);
  const appraise = async (tee: Tee, evidence: unknown): Promise<Submodule> => {
    const { token } = await made.evaluate([{ tee, evidence }], ["default"]);
    const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as {
      submods: Record<string, Submodule>;
    };
    const [first] = Object.values(claims.submods);
    if (first === undefined) throw new Error("expected a submodule");
    return first;
  };
  return {
    service: made,
    storage,
    signer,
    referenceValues,
    message,
    appraise,
    later: (ms: number) => void (now += ms),
  };
}

describe("the attestation service", () => {
  it("signs what it found, with a key that goes along", async () => {
    const { service: made, signer } = await service();
    const { token, findings } = await made.evaluate([{ tee: "sample", evidence: sample }], ["default"]);
    const [head = "", body = "", signature = ""] = token.split(".");
    const { jwk, alg } = JSON.parse(Buffer.from(head, "base64url").toString()) as {
      jwk: Record<string, string>;
      alg: string;
    };
    const key = createPublicKey({ key: jwk, format: "jwk" });
    expect(alg).toBe("ES256");
    expect(key.equals(signer.publicKey)).toBe(true);
    expect(
      verify(
        "sha256",
        Buffer.from(`${head}.${body}`),
        { key, dsaEncoding: "ieee-p1363" },
        Buffer.from(signature, "base64url"),
      ),
    ).toBe(true);
    expect(findings).toEqual([
      expect.objectContaining({ submodule: "cpu0", tee: "sample", status: "contraindicated", policy: "default_cpu" }),
    ]);
  });

  it("affirms a chip whose values are all expected, and none of which one is not", async () => {
    const made = makeSnp();
    const values: Record<string, unknown> = {
      snp_launch_measurement: ["02".repeat(48)],
      snp_bootloader: [10],
      snp_microcode: [200],
      snp_snp_svn: [23],
      snp_tee_svn: [0],
    };
    const verifiers = [["snp", new SnpVerifier([], () => made.keys)]] as const;
    const good = await service(values, verifiers);
    expect(await good.appraise("snp", made.evidence)).toMatchObject({
      "ear.status": "affirming",
      "ear.trustworthiness-vector": { hardware: 2, executables: 3, configuration: 3 },
    });
    for (const name of Object.keys(values)) {
      const { [name]: _, ...rest } = values;
      const { appraise } = await service(rest, verifiers);
      // An unknown program (33) is in the tier of warnings, unknown firmware (97) is not.
      const status = name === "snp_launch_measurement" ? "warning" : "contraindicated";
      expect((await appraise("snp", made.evidence))["ear.status"], name).toBe(status);
    }
    const debuggable = makeSnp({ policy: 0xb0000n });
    const { appraise } = await service(values, [["snp", new SnpVerifier([], () => debuggable.keys)]]);
    expect((await appraise("snp", debuggable.evidence))["ear.trustworthiness-vector"]).toMatchObject({
      configuration: 36,
    });
  });

  it("affirms a TPM whose key and register are expected", async () => {
    const evidence = tpmEvidence(Buffer.alloc(32), registers());
    const values = { tpm_pcr11: ["0b".repeat(32)], tpm_pcr12: ["0c".repeat(32)], trusted_aks: [evidence["ak_public"]] };
    const status = async (more: object, of = evidence): Promise<unknown> =>
      (await (await service({ ...values, ...more })).appraise("tpm", of))["ear.status"];
    expect(await status({})).toBe("affirming");
    expect(await status({ trusted_aks: ["other"] })).toBe("warning");
    expect(await status({ tpm_pcr11: ["0c".repeat(32)] })).toBe("warning");
    // Those that somebody registered count, too.
    for (const [register, value] of [
      ["04", "04"],
      ["08", "08"],
      ["09", "09"],
    ] as const) {
      expect(await status({ [`tpm_pcr${register}`]: ["ff".repeat(32), value.repeat(32)] }), register).toBe("affirming");
      expect(await status({ [`tpm_pcr${register}`]: ["ff".repeat(32)] }), register).toBe("warning");
    }
  });

  it("affirms no TPM whose host has given a command line that nobody expects", async () => {
    const given = tpmEvidence(Buffer.alloc(32), registers());
    const none = tpmEvidence(
      Buffer.alloc(32),
      registers().map((value, register) => (register === 12 ? Buffer.alloc(32) : value)),
    );
    const status = async (evidence: Record<string, unknown>, more: object = {}): Promise<unknown> => {
      const values = { tpm_pcr11: ["0b".repeat(32)], trusted_aks: [evidence["ak_public"]], ...more };
      return (await (await service(values)).appraise("tpm", evidence))["ear.status"];
    };
    expect(await status(none)).toBe("affirming");
    expect(await status(none, { tpm_pcr12: ["0c".repeat(32)] })).toBe("warning");
    expect(await status(given)).toBe("warning");
    expect(await status(given, { tpm_pcr12: ["0c".repeat(32)] })).toBe("affirming");
  });

  it("takes a changed reference value at once, and none that has run out", async () => {
    const { appraise, referenceValues, message, later } = await service({ launch_digest: ["abcde"] });
    const executables = async (): Promise<unknown> =>
      (await appraise("sample", sample))["ear.trustworthiness-vector"]["executables"];
    expect(await executables()).toBe(3);
    await referenceValues.register(message({ launch_digest: ["other"] }));
    expect(await executables()).toBe(33);
    await referenceValues.register(message({ launch_digest: ["abcde"] }));
    expect(await executables()).toBe(3);
    expect(await referenceValues.list()).toMatchObject([
      { name: "launch_digest", expiration: "2027-11-25T00:00:00Z", value: ["abcde"] },
    ]);
    later(366 * 86_400_000);
    expect(await executables()).toBe(33);
    expect(await referenceValues.list()).toEqual([]);
  });

  it("takes all of a message's values or none", async () => {
    const { referenceValues, message } = await service({});
    await expect(referenceValues.register(message({ one: 1, "two words": 2 }))).rejects.toMatchObject({
      code: "request",
    });
    expect(await referenceValues.list()).toEqual([]);
  });

  it("hands policies whatever values they ask for, found on the way", async () => {
    const { service: made, appraise } = await service({ a: ["b"], b: 36 });
    await made.setPolicy(
      "default_cpu",
      `package policy
import rego.v1
trust_claims := {"hardware": query_reference_value(query_reference_value("a")[0]), "executables": x}
default x := 0
x := 2 if { not "y" in query_reference_value("nothing"); query_reference_value(concat("", ["n", "o"])) == null }`,
    );
    expect((await appraise("sample", sample))["ear.trustworthiness-vector"]).toEqual({ executables: 2, hardware: 36 });
  });

  it.each([
    ["an unknown claim", 'trust_claims := {"nosuch": 2}', "expected a trust claim of AR4SI"],
    ["no claim", "trust_claims := {}", "expected at least one"],
    ["a claim beyond 8 bits", 'trust_claims := {"hardware": 300}', "expected an integer of 8 bits"],
    ["a claim that is text", 'trust_claims := {"hardware": "2"}', "expected an integer of 8 bits"],
    [
      "two values for a rule",
      'trust_claims := {"hardware": 2} if true\ntrust_claims := {"hardware": 3} if true',
      "rule conflicts with the following rule",
    ],
    [
      "an extension in the status' place",
      'extensions := [{"name": "ear.status", "key": 1, "value": "affirming"}]',
      "expected a new one",
    ],
  ])("refuses evidence under a policy with %s", async (_, rules, text) => {
    const { service: made, appraise } = await service();
    await made.setPolicy("default_cpu", `package policy\nimport rego.v1\n${rules}\n`);
    await expect(appraise("sample", sample)).rejects.toThrow(text);
  });

  it("ends a policy that never comes to an end", async () => {
    const { service: made, appraise } = await service();
    const huge =
      "[x | some a in numbers.range(1, 3000); some b in numbers.range(1, 3000); some c in numbers.range(1, 3000); x := a * b * c]";
    await made.setPolicy(
      "default_cpu",
      `package policy\nimport rego.v1\ntrust_claims := {"hardware": count(${huge})}\n`,
    );
    await expect(appraise("sample", sample)).rejects.toMatchObject({ code: "policy" });
  });

  it("refuses a text that is no policy, and keeps the one in force; writes no default over it", async () => {
    const { service: made, storage } = await service();
    await made.setPolicy("default_cpu", "package policy\n");
    await expect(made.setPolicy("default_cpu", "nope")).rejects.toMatchObject({ code: "policy-text" });
    await expect(made.setPolicy("../x", "package policy\n")).rejects.toMatchObject({ code: "request" });
    expect(await made.policy("default_cpu")).toBe("package policy\n");
    expect(await storage.list(Namespace.ATTESTATION_POLICY)).toHaveLength(4);
  });

  it.each([
    ["no policy", [], [{ tee: "sample", evidence: sample }], "expected a policy"],
    ["a policy that is not there", ["other"], [{ tee: "sample", evidence: sample }], "expected the policy other_cpu"],
    ["no evidence", ["default"], [], "expected 1 to"],
    [
      "evidence of a kind that is not verified",
      ["default"],
      [{ tee: "csv", evidence: {} }],
      "csv is not verified here",
    ],
  ] as const)("refuses %s", async (_, ids, requests, text) => {
    await expect((await service()).service.evaluate(requests, ids)).rejects.toThrow(text);
  });
});

describe("initdata", () => {
  const document = (data: string, head = 'version = "0.1.0"\nalgorithm = "sha256"\n'): string =>
    `${head}[data]\n${data}`;

  it("shows its files: TOML as values, a generated policy by what it knows of containers", () => {
    const view = viewInitdata(
      document(
        `"aa.toml" = "[a]\\nb = 1\\n"\n"policy.rego" = '''package x\npolicy_data := {"containers": [{"OCI": 1}]}\n'''\n"x" = "y"\n`,
      ),
    );
    expect(view.claims).toEqual({
      "aa.toml": { a: { b: 1 } },
      agent_policy_claims: { containers: [{ OCI: 1 }] },
      x: "y",
    });
    expect(view.digest).toHaveLength(32);
    expect(viewInitdata(document(`"policy.rego" = "package x"`)).claims).toEqual({ "policy.rego": "package x" });
  });

  it.each([
    document('"aa.toml" = "[a"'),
    document('"x" = 1'),
    "version",
    document("", 'version = "0.1.0"\nalgorithm = "md5"\n'),
  ])("is refused as %j", (text) => {
    expect(() => viewInitdata(text)).toThrow("initdata");
  });
});

it.each([
  [0, "none"],
  [-1, "none"],
  [2, "affirming"],
  [-32, "affirming"],
  [31, "affirming"],
  [32, "warning"],
  [-96, "warning"],
  [95, "warning"],
  [96, "contraindicated"],
  [-128, "contraindicated"],
] as const)("the claim %i is %s", (value, tier) => {
  expect(tierOf(value)).toBe(tier);
});
