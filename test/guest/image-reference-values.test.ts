import { readFileSync } from "node:fs";
import { join } from "node:path";

import { reportData } from "@nacre/kbs-protocol";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { FLAVOURS } from "../../guest-rootfs/flavour.ts";
import type { LaunchValues } from "../../guest-rootfs/measure/launch-values.ts";
import { begin, sampleGuest } from "../../packages/trustee/test/kbs/sample-guest.ts";
import { testTrustee, type TestTrustee } from "../../packages/trustee/test/kbs/test-trustee.ts";
import { tpmEvidence, tpmKey } from "../../packages/trustee/test/verifier/tpm-evidence.ts";
import { builtImage } from "../fixtures/boot-image.ts";

/** The message that `make rootfs` wrote beside the image, in a broker: what it takes, lists, and appraises a TPM by. */
describe.for(FLAVOURS)("the reference values of the %s image", (flavour) => {
  const image = builtImage(flavour);
  const message = readFileSync(join(image.folder, "reference-values.json"), "utf8");
  const launch = JSON.parse(readFileSync(join(image.folder, "launch-values.json"), "utf8")) as LaunchValues;
  const pcrs = launch.unifiedKernelImage.pcrs.disk as Readonly<Record<string, string>>;
  let broker: TestTrustee;

  const admin = async (method: string, path: string, body = ""): ReturnType<TestTrustee["call"]> =>
    await broker.call(method, `/kbs/v0/${path}`, { authorization: broker.admin() }, body);

  beforeAll(async () => {
    broker = await testTrustee();
    expect((await admin("POST", "reference-value", message)).status).toBe(200);
  });
  afterAll(async () => await broker.trustee.close());

  /** What a broker says of a machine whose registers these are, by the default policy. */
  async function standing(registers: Readonly<Record<string, string>>): Promise<Record<string, unknown>> {
    const values = Array.from({ length: 24 }, (_, at) => Buffer.from(registers[String(at)] ?? "00".repeat(32), "hex"));
    const { cookie, nonce } = await begin(broker, "tpm");
    const guest = sampleGuest();
    const bound = reportData({ "additional-evidence": "", nonce, "tee-pubkey": guest.publicKey }, "sha384");
    const evidence = tpmEvidence(bound.subarray(0, 32), values);
    const body = guest.attestation(nonce, (one) => (one["tee-evidence"]["primary_evidence"] = evidence));
    const answer = await broker.call("POST", "/kbs/v0/attest", { cookie }, body);
    expect(answer.status).toBe(200);
    const { token } = JSON.parse(answer.body) as { token: string };
    const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as {
      submods: { cpu0: Record<string, unknown> };
    };
    return claims.submods.cpu0;
  }

  it("are taken whole, and read again one by one", async () => {
    const values = JSON.parse(
      Buffer.from((JSON.parse(message) as { payload: string }).payload, "base64").toString(),
    ) as object;
    for (const [name, value] of Object.entries(values)) {
      const answer = await admin("GET", `reference-value/${name}`);
      expect([answer.status, JSON.parse(answer.body)], name).toEqual([200, value]);
    }
    const listed = JSON.parse((await admin("GET", "reference-value/")).body) as readonly { readonly name: string }[];
    expect(listed.map(({ name }) => name).toSorted()).toEqual(Object.keys(values).toSorted());
  });

  it("let a machine that booted the image affirm its executables, once its key is trusted, and no other", async () => {
    const vector = async (registers: Readonly<Record<string, string>>): Promise<unknown> =>
      ((await standing(registers))["ear.trustworthiness-vector"] as Record<string, unknown>)["executables"];
    expect(await vector(pcrs)).toBe(33);
    const ak = tpmKey().publicKey.export({ type: "spki", format: "der" }).toString("base64");
    const payload = Buffer.from(JSON.stringify({ trusted_aks: [ak] })).toString("base64");
    const trust = JSON.stringify({ version: "0.1.0", type: "sample", payload });
    expect((await admin("POST", "reference-value", trust)).status).toBe(200);
    expect(await vector(pcrs)).toBe(3);
    const other = (pcrs["11"] ?? "").replace(/^./u, (digit) => (digit === "0" ? "1" : "0"));
    expect(await vector({ ...pcrs, "11": other })).toBe(33);
    expect(broker.audit.at(-1)).toMatchObject({
      event: "attest",
      findings: [{ referenceValues: { tpm_pcr11: [pcrs["11"]], trusted_aks: [ak] } }],
    });
  });
});
