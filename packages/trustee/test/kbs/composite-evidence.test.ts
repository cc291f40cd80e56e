import { deviceRuntimeData, reportData, type TeePublicKey } from "@nacre/kbs-protocol";
import { afterAll, beforeAll, expect, it } from "vitest";

import { begin, type SampleGuest, sampleGuest } from "./sample-guest.ts";
import { type Answer, testTrustee, type TestTrustee } from "./test-trustee.ts";

/** A machine with a device: both prove themselves for one key and one nonce, and the machine for its devices, too. */
let broker: TestTrustee;
beforeAll(async () => {
  broker = await testTrustee();
});
afterAll(async () => await broker.trustee.close());

function device(nonce: string, key: unknown): string {
  const bound = reportData(deviceRuntimeData({ nonce, "tee-pubkey": key as TeePublicKey }), "sha384");
  return `{"svn":"2","report_data":"${bound.toString("base64")}"}`;
}
const devices = (evidence: string): string => `{"sampledevice":${evidence}}`;

/** `signed`: the devices' evidence that the machine's own is bound to; `sent`: what goes along. */
async function attest(
  guest: SampleGuest,
  make: (nonce: string) => { readonly signed: string; readonly sent: string },
): Promise<Answer> {
  const { cookie, nonce } = await begin(broker);
  const { signed, sent } = make(nonce);
  const body = guest.attestation(nonce, (one) => (one["tee-evidence"]["additional_evidence"] = sent), signed);
  return await broker.call("POST", "/kbs/v0/attest", { cookie }, body);
}

it("both are in the token, each by the policy of its kind", async () => {
  const guest = sampleGuest();
  const answer = await attest(guest, (nonce) => {
    const sent = devices(device(nonce, guest.publicKey));
    return { signed: sent, sent };
  });
  expect(answer.status).toBe(200);
  const { token } = JSON.parse(answer.body) as { token: string };
  const { submods } = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as {
    submods: Record<string, Record<string, unknown>>;
  };
  expect(Object.keys(submods).toSorted()).toEqual(["cpu0", "gpu0"]);
  expect(broker.audit.at(-1)).toMatchObject({
    outcome: "allowed",
    findings: [
      { submodule: "cpu0", policy: "default_cpu" },
      { submodule: "gpu0", policy: "default_gpu" },
    ],
  });
});

const other = sampleGuest();
const same = (sent: string): { readonly signed: string; readonly sent: string } => ({ signed: sent, sent });
it.each<readonly [string, (nonce: string, key: unknown) => { readonly signed: string; readonly sent: string }]>([
  ["of another nonce", (_, key) => same(devices(device("bm9uY2U=", key)))],
  ["for another key", (nonce) => same(devices(device(nonce, other.publicKey)))],
  ["bound to nothing", () => same(devices('{"svn":"2","report_data":""}'))],
  ["that the machine's own does not name", (nonce, key) => ({ signed: "", sent: devices(device(nonce, key)) })],
  ["left out", (nonce, key) => ({ signed: devices(device(nonce, key)), sent: "" })],
  [
    "written otherwise",
    (nonce, key) => ({ signed: devices(device(nonce, key)), sent: devices(` ${device(nonce, key)}`) }),
  ],
  ["named twice", (nonce, key) => same(`{"sampledevice":${device(nonce, key)},"sampledevice":${device(nonce, key)}}`)],
  ["in a list", (nonce, key) => same(`[${device(nonce, key)}]`)],
  ["in a text that is no JSON", () => same("{")],
])("a device's evidence %s gives nobody a token", async (_, make) => {
  const guest = sampleGuest();
  const answer = await attest(guest, (nonce) => make(nonce, guest.publicKey));
  expect(answer.status).toBe(401);
  expect(answer.body).toContain("/AttestationError");
});
