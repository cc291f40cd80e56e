import { readFileSync } from "node:fs";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { vectors } from "../../../../test/setup/data.ts";
import { begin, sampleGuest } from "./sample-guest.ts";
import { testTrustee, type TestTrustee } from "./test-trustee.ts";

/** Evidence of devices that this broker does not verify: recorded where there is a recording. */
const folder = vectors("attestation");
const recorded = (name: string): Buffer =>
  folder === undefined ? Buffer.from("evidence") : readFileSync(`${folder}/${name}`);

const gpu = (report: string, chain: string): object => ({
  device_evidence_list: [
    {
      arch: "HOPPER",
      uuid: "GPU-0",
      evidence: Buffer.from(recorded(report).toString().trim(), "hex").toString("base64"),
      certificate: recorded(chain).toString("base64"),
    },
  ],
});
const EVIDENCE: readonly (readonly [tee: string, evidence: object])[] = [
  ["cca", { token: [...recorded("cca/misc/cca-example-token.cbor")] }],
  ["tdx", { quote: recorded("tdx_quote_4.dat").toString("base64"), cc_eventlog: null }],
  ["tdx", { quote: recorded("tdx_quote_5.dat").toString("base64"), cc_eventlog: null }],
  ["az-tdx-vtpm", { version: 2, tpm_quote: {}, hcl_report: "", td_quote: "" }],
  ["sgx", { quote: "" }],
  ["csv", { attestation_report: "", serial_number: "" }],
  ["hygondcu", { attestation_reports: [] }],
  ["nvidia-dpu", { version: 1, devices: [] }],
  ...["1", "2", "3", "4"].map(
    (n) => ["nvidia", gpu("nvidia/hopperAttestationReport.txt", `nvidia/hopper_cert_chain_case${n}.txt`)] as const,
  ),
];

let broker: TestTrustee;
beforeAll(async () => {
  broker = await testTrustee();
});
afterAll(async () => await broker.trustee.close());

async function refused(cookie: string, body: string, tee: string): Promise<void> {
  const answer = await broker.call("POST", "/kbs/v0/attest", { cookie }, body);
  expect(answer.status).toBe(401);
  expect(answer.body).toContain("/AttestationError");
  // Which evidence, and why, is for whoever runs the broker.
  expect(answer.body).not.toContain("verified");
  expect(broker.log.at(-1)).toContain(`evidence of ${tee} is not verified here`);
  expect(broker.audit.at(-1)).toMatchObject({ event: "attest", outcome: "refused" });
  expect((await broker.call("GET", "/kbs/v0/resource/a/b/c", { cookie })).body).toContain("/TokenNotFound");
}

describe.each(EVIDENCE)("evidence of %s", (tee, evidence) => {
  it("is refused as what is not verified here, and the log says so", async () => {
    const { cookie, nonce } = await begin(broker, tee);
    const body = sampleGuest().attestation(nonce, (one) => (one["tee-evidence"]["primary_evidence"] = evidence));
    await refused(cookie, body, tee);
  });

  it("is not passed over beside other evidence that is good", async () => {
    const { cookie, nonce } = await begin(broker);
    const body = sampleGuest().attestation(
      nonce,
      (one) => (one["tee-evidence"]["additional_evidence"] = JSON.stringify({ [tee]: evidence })),
      JSON.stringify({ [tee]: evidence }),
    );
    await refused(cookie, body, tee);
  });
});

it("evidence of SE gets no challenge", async () => {
  await expect(begin(broker, "se")).rejects.toThrow("401");
});

it("a recorded request of an older protocol gets no challenge", async () => {
  const body =
    folder === undefined ? '{"version":"0.2.0","tee":"cca","extra-params":""}' : recorded("cca/misc/kbs-request.json");
  const answer = await broker.call("POST", "/kbs/v0/auth", {}, body);
  expect(answer.status).toBe(401);
  expect(broker.log.at(-1)).toContain("KBS Client Protocol Version Mismatch: expect =0.4.0 while the request is 0.2.0");
  expect(answer.headers).not.toHaveProperty("set-cookie");
});
